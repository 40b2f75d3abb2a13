"""What a stranger reads who was handed a bag: what it is, and how to check it without us.

Owns the text. Every block of commands can be copied into a shell as it stands, in the bag's folder: it runs in a shell
of its own, prints a line that begins with OK if all of it holds, and else fails, naming what does not.
"""

from activities.evidence.contents import CaseContents
from activities.evidence.sealing.envelope import open_envelope
from activities.evidence.sealing.names import SealFiles, key_name, sort_out
from activities.evidence.vault.layout import GENESIS

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

You need bash, `sha256sum`, `sed`, `base64`, `grep`, `date` (GNU coreutils) and OpenSSL 3. Copy the blocks into one
shell, in this folder, one after the other. **Each ends with a line that begins with OK. Where that line does not come,
the evidence does not hold**, whatever the other blocks say.

Every file is as it was exported:

```sh
( set -e
sha256sum --quiet -c tagmanifest-sha256.txt
sha256sum --quiet -c manifest-sha256.txt
echo "OK: the files are those of the lists" )
```

The fingerprint of the key is the name of its file, and what you were told:

```sh
( set -e
openssl pkey -pubin -in data/keys/{key} -outform DER | sha256sum | cut -d' ' -f1
openssl pkey -pubin -in data/keys/{key} -outform DER | sha256sum | grep -q '^{keyid} '
echo "OK: the key has this fingerprint" )
```

The last seal is signed with that key (DSSE: the signature covers the type and the length before the content):

```sh
work=$(mktemp -d)
( set -e
sed 's/.*"payload":"\\([^"]*\\)".*/\\1/' data/seals/{envelope} | base64 -d > "$work/statement"
sed 's/.*"sig":"\\([^"]*\\)".*/\\1/' data/seals/{envelope} | base64 -d > "$work/signature"
printf 'DSSEv1 28 application/vnd.in-toto+json %s ' "$(wc -c < "$work/statement" | tr -d ' ')" > "$work/signed"
cat "$work/statement" >> "$work/signed"
{verify}
mv "$work/statement" "$work/statement.json"
echo "OK: the seal is signed" )
```

Whatever this seal vouches for is here, as it was sealed, and no other item is:

```sh
( set -e
subject='{{"digest":{{"sha256":"\\([0-9a-f]*\\)"}},"name":"\\([^"]*\\)"}}'
grep -o "$subject" "$work/statement.json" | sed "s|$subject|\\1 \\2|" > "$work/subjects"
while read -r digest name; do
  case $name in
    chains/*) continue ;;
    documents/*) file=data/$name ;;
    *) file=$(echo data/artefacts/"$name"@*) ;;
  esac
  test -f "$file" || {{ echo "MISSING: $name"; exit 1; }}
  echo "$digest  $file" | sha256sum --quiet -c - || {{ echo "NOT AS SEALED: $file"; exit 1; }}
done < "$work/subjects"
for file in data/artefacts/*; do
  test -e "$file" || continue
  name=$(basename "$file" | cut -d@ -f1)
  cut -d' ' -f2- "$work/subjects" | grep -qxF "$name" || {{ echo "NOT SEALED: $file"; exit 1; }}
done
echo "OK: $(grep -vc ' chains/' "$work/subjects") sealed things are here as they were sealed" )
```

Manifests and custody events are chained without a gap, and the seal vouches for where the chains were then:

```sh
( set -e
walk() {{ # folder, what a link calls the one before
  sealed=$(sed -n "s| chains/$1\\$||p" "$work/subjects") last={genesis} number=0 until=
  test -n "$sealed" || {{ echo "NOT SEALED: data/$1"; exit 1; }}
  test "$sealed" != "$last" || until=0
  for link in data/"$1"/*; do
    test -e "$link" || continue
    number=$((number + 1))
    case $link in data/"$1"/$(printf %06d "$number")@*) ;; *) echo "MISSING BEFORE: $link"; exit 1 ;; esac
    grep -qF "\\"$2\\":\\"$last\\"" "$link" || {{ echo "NOT WHAT COMES BEFORE IT SAYS: $link"; exit 1; }}
    last=$(sha256sum < "$link" | cut -d' ' -f1)
    test "$last" != "$sealed" || until=$number
  done
  test -n "$until" || {{ echo "NOT THE SEALED CHAIN: data/$1"; exit 1; }}
  echo "data/$1: $number links, the first $until of them sealed"
}}
walk manifests prev_hash
walk custody prev_event_hash
echo "OK: both chains hold" )
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
The seal existed at the time that the authority vouches for{several}. Its certificate is held valid at that time, as it
may have ended since:

```sh
( set -e
cat data/tsa/*.pem > "$work/roots.pem"
stamped() {{ # envelope, the authority's answer
  said=$(openssl ts -reply -in "$2" -text | sed -n 's/^Time stamp: //p')
  test -n "$said" || {{ echo "NOT READABLE: $2"; exit 1; }}
  openssl ts -verify -attime "$(date -u -d "$said" +%s)" -data "$1" -in "$2" -CAfile "$work/roots.pem"
  echo "$1 existed on $said"
}}
{commands}
echo "OK: the timestamps are the authority's" )
```
"""
_PENDING = """
**No timestamp yet.** The time-stamping authority had not answered about seal {numbers} when this was exported. That is
no failure of the seal, and no proof of its time. Ask whoever gave you this bag for the answer (a file `.tsr`), or for a
new export; `firebreak evidence verify . --tsa-root ROOTS.pem --timestamp FILE.tsr` holds the one against the other.
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
        genesis=GENESIS,
        envelope=files.envelopes[number],
        verify=(_ED25519 if edwards else _ECDSA).format(key=key),
        roots=" and those of the root certificates in `data/tsa`" if stamped else "",
        timestamp=(_timestamps(files.envelopes, files.timestamps) if stamped and files.timestamps else "")
        + _pending(contents, files),
    )


def _pending(contents: CaseContents, files: SealFiles) -> str:
    asked = [
        number
        for number, name in sorted(files.envelopes.items())
        if number not in files.timestamps
        and open_envelope(contents.seals[name]).statement.predicate.timestamp == "asked"
    ]
    return _PENDING.format(numbers=" and ".join(map(str, asked))) if asked else ""


def _timestamps(envelopes: dict[int, str], timestamps: dict[int, str]) -> str:
    lines = [
        f"stamped data/seals/{envelopes[number]} data/seals/{name}"
        for number, name in sorted(timestamps.items())
        if number in envelopes
    ]
    several = " (each seal has its own)" if len(timestamps) > 1 else ""
    return _TIMESTAMP.format(several=several, commands="\n".join(lines))
