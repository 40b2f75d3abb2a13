"""What AWS must allow for each setting of an EC2 instance, reading it and taking it back included. Pure."""

PROTECTION = ("ec2:DescribeInstanceAttribute", "ec2:ModifyInstanceAttribute")
SHUTDOWN = PROTECTION
VOLUMES = ("ec2:DescribeInstances", "ec2:ModifyInstanceAttribute")
SNAPSHOTS = ("ec2:CreateSnapshots", "ec2:CreateTags", "ec2:DescribeSnapshots")
PROFILE = (
    "ec2:AssociateIamInstanceProfile",
    "ec2:DescribeIamInstanceProfileAssociations",
    "ec2:DisassociateIamInstanceProfile",
    "ec2:ReplaceIamInstanceProfileAssociation",
    "iam:PassRole",  # no operation: AWS asks for it when a profile is given back
)
SCALING = (
    "autoscaling:AttachInstances",
    "autoscaling:DescribeAutoScalingInstances",
    "autoscaling:DetachInstances",
    "autoscaling:SetInstanceProtection",
)
TARGET_GROUP = (
    "elasticloadbalancing:DeregisterTargets",
    "elasticloadbalancing:DescribeTargetHealth",
    "elasticloadbalancing:RegisterTargets",
)
CLASSIC_BALANCER = (
    "elasticloadbalancing:DeregisterInstancesFromLoadBalancer",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:RegisterInstancesWithLoadBalancer",
)
OBSERVE = (
    "autoscaling:DescribeAutoScalingInstances",
    "ec2:DescribeIamInstanceProfileAssociations",
    "ec2:DescribeInstanceAttribute",
    "ec2:DescribeInstances",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSnapshots",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
    "iam:GetInstanceProfile",
    "iam:GetRolePolicy",
)
