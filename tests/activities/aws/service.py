"""What an instance may be part of: an Auto Scaling group, load balancers, a role."""

import json
from typing import Any

from tests.activities.aws.accounts import Accounts
from tests.activities.aws.estate import IMAGE, Estate

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


def scaling_group(accounts: Accounts, estate: Estate) -> Any:
    """An Auto Scaling group that the instance is in, protected from scale-in."""
    scaling = accounts.client("autoscaling")
    scaling.create_launch_configuration(LaunchConfigurationName="web", ImageId=IMAGE, InstanceType="t3.micro")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="web",
        LaunchConfigurationName="web",
        MinSize=0,
        MaxSize=4,
        DesiredCapacity=0,
        VPCZoneIdentifier=estate.subnet,
    )
    scaling.attach_instances(InstanceIds=[estate.instance], AutoScalingGroupName="web")
    scaling.set_instance_protection(
        InstanceIds=[estate.instance], AutoScalingGroupName="web", ProtectedFromScaleIn=True
    )
    return scaling


def target_group(accounts: Accounts, estate: Estate) -> str:
    """A target group in which the instance is on two ports."""
    elb = accounts.client("elbv2")
    (group,) = elb.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=estate.vpc)["TargetGroups"]
    targets = [{"Id": estate.instance, "Port": port} for port in (8080, 8081)]
    elb.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=targets)
    return str(group["TargetGroupArn"])


def classic_balancer(accounts: Accounts, estate: Estate) -> None:
    """A classic load balancer called `old` that sends to the instance."""
    elb = accounts.client("elb")
    listener = {"Protocol": "tcp", "LoadBalancerPort": 80, "InstancePort": 80}
    elb.create_load_balancer(LoadBalancerName="old", Listeners=[listener], Subnets=[estate.subnet])
    elb.register_instances_with_load_balancer(LoadBalancerName="old", Instances=[{"InstanceId": estate.instance}])


def profile(accounts: Accounts, estate: Estate) -> str:
    """An instance profile with the role `web`, on the instance."""
    iam = accounts.client("iam")
    iam.create_role(RoleName="web", AssumeRolePolicyDocument=TRUST)
    made = iam.create_instance_profile(InstanceProfileName="web")["InstanceProfile"]
    iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="web")
    estate.ec2.associate_iam_instance_profile(
        InstanceId=estate.instance, IamInstanceProfile={"Arn": made["Arn"], "Name": "web"}
    )
    return str(made["Arn"])
