"""What a stranger reads who was handed a bag: what it is, and how to check it without us.

Owns the text. Every block of commands can be copied into a shell as it stands, in the bag's folder, and ends with an
error if something does not hold.
"""

from activities.evidence.contents import CaseContents
from activities.evidence.sealing.envelope import open_envelope
from activities.evidence.sealing.names import key_name, sort_out

ED25519_PEM_BYTES = 113  # 44 bytes of SubjectPublicKeyInfo (RFC 8410) in PEM

_TEXT = """\
# Evidence of case {case_id}

This folder is a bag (BagIt 1.0, RFC 8493). It holds what was collected in the case, who collected it and how, all that
happened to it since, and signatures over all of it. Traffic Light Protocol: {tlp}.

| folder | holds |
| --- | --- |
| `data/artefacts` | the items, each as `EVIDENCE-ID@FILE-NAME` |
| `data/manifests` | one document an item: source, tool, counters of loss, digest; also for what could not be had |
| `data/custody` | one document for each thing that happened: collected, read, verified, exported, sealed |
| `data/seals` | signatures (`.dsse.json`) over both chains and every digest, and timestamps (`.tsr`) over those |
| `data/keys` | the public key of the signatures; its name is its fingerprint |
| `data/tsa` | root certificates of the time-stamping authority, if there is one |

Manifests and custody events are chained: each names the SHA-256 of the one before. A seal vouches for both chains up to
its time, and for the seal before it. The last seal here is number {number}, of {sealed_at}.

## What you need from elsewhere

A key that lies beside a signature proves nothing: whoever could change the one could change the other. Ask whoever gave
you this bag, **by another way** (on paper, by telephone, on their web site), for the fingerprint of their signing
key{roots}, and compare it with what the second block prints. It should be

    {keyid}

## Check it with standard tools

You need `sha256sum`, `sed`, `base64`, `grep` and OpenSSL 3.

Every file is as it was exported:

```sh
sha256sum --quiet -c tagmanifest-sha256.txt
sha256sum --quiet -c manifest-sha256.txt
```

The fingerprint of the key is the name of its file, and what you were told:

```sh
openssl pkey -pubin -in data/keys/{key} -outform DER | sha256sum | cut -d' ' -f1
openssl pkey -pubin -in data/keys/{key} -outform DER | sha256sum | grep -q '^{keyid} '
```

The last seal is signed with that key (DSSE: the signature covers the type and the length before the content):

```sh
work=$(mktemp -d)
sed 's/.*"payload":"\\([^"]*\\)".*/\\1/' data/seals/{envelope} | base64 -d > "$work/statement.json"
sed 's/.*"sig":"\\([^"]*\\)".*/\\1/' data/seals/{envelope} | base64 -d > "$work/signature"
printf 'DSSEv1 28 application/vnd.in-toto+json %s ' "$(wc -c < "$work/statement.json" | tr -d ' ')" > "$work/signed"
cat "$work/statement.json" >> "$work/signed"
{verify}
```

Every item is one that this seal vouches for (in the same shell):

```sh
for item in data/artefacts/*; do
  test -e "$item" || continue
  digest=$(sha256sum < "$item" | cut -d' ' -f1)
  name=$(basename "$item" | cut -d@ -f1)
  grep -qF "{{\\"digest\\":{{\\"sha256\\":\\"$digest\\"}},\\"name\\":\\"$name\\"}}" "$work/statement.json" \\
    || {{ echo "NOT SEALED: $item"; exit 1; }}
done
```
{timestamp}
## Check it with Firebreak

The same and more (both chains, every seal, every event against the items), offline:

```sh
firebreak evidence verify . --fingerprint {keyid}
```

It names the first thing that does not hold, and why.

## What this does not prove

That the host from which something was collected told the truth: whoever ruled it may have lied to the tools that
collected. Manifests say which tool ran, and which host signed what it handed over. A timestamp proves that a seal
existed at its time, not that what it seals was collected when it says.
"""
_TIMESTAMP = """
The seal existed at the time that the authority vouches for{several}:

```sh
{commands}
```
"""
_ED25519 = 'openssl pkeyutl -verify -pubin -inkey data/keys/{key} -rawin -in "$work/signed" -sigfile "$work/signature"'
_ECDSA = 'openssl dgst -sha256 -verify data/keys/{key} -signature "$work/signature" "$work/signed"'


def readme(case_id: str, contents: CaseContents, *, stamped: bool) -> str:
    """The text for this case; `stamped`: roots of an authority are in the bag."""
    files = sort_out(list(contents.seals))
    number = max(files.envelopes)
    opened = open_envelope(contents.seals[files.envelopes[number]])
    said, key = opened.statement.predicate, key_name(opened.keyid)
    edwards = len(contents.keys[key]) == ED25519_PEM_BYTES
    return _TEXT.format(
        case_id=case_id,
        tlp=said.tlp,
        number=number,
        sealed_at=f"{said.sealed_at:%Y-%m-%d %H:%M:%S} UTC",
        keyid=opened.keyid,
        key=key,
        envelope=files.envelopes[number],
        verify=(_ED25519 if edwards else _ECDSA).format(key=key),
        roots=" and those of the root certificates in `data/tsa`" if stamped else "",
        timestamp=_timestamps(files.envelopes, files.timestamps) if stamped and files.timestamps else "",
    )


def _timestamps(envelopes: dict[int, str], timestamps: dict[int, str]) -> str:
    lines = ["roots=$(mktemp)", 'cat data/tsa/*.pem > "$roots"']
    lines += [
        f'openssl ts -verify -data data/seals/{envelopes[number]} -in data/seals/{name} -CAfile "$roots"'
        for number, name in sorted(timestamps.items())
        if number in envelopes
    ]
    several = " (each seal has its own)" if len(timestamps) > 1 else ""
    return _TIMESTAMP.format(several=several, commands="\n".join(lines))
