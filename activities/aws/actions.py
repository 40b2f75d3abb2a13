"""What IAM calls an operation.

Owns the way from a botocore operation to the action that a policy must allow: it names a missing permission, and the
tests hold what is declared to what is called. Source of the exceptions: the Service Authorization Reference.

    action_of(model)   # -> "ec2:ModifyNetworkInterfaceAttribute"
"""

from typing import Any

# Where IAM's word for an operation isn't the operation's own name.
EXCEPTIONS = {
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:DeletePublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:DeleteBucketTagging": "s3:PutBucketTagging",
}


def action_of(model: Any) -> str:
    """The IAM action of a botocore operation model."""
    # Newer APIs carry their version in the operation's name and IAM does not: GetFunction20150331.
    own = f"{model.service_model.signing_name}:{model.name}"
    return EXCEPTIONS.get(own, own)
