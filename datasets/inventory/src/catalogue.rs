//! Types of resources: real ones as far as the list goes, then made-up ones.

use crate::attribute::{Attribute, schema};
use crate::options::{Format, Size};

/// The regions, in the order in which they are used.
pub const REGIONS: [&str; 24] = [
    "us-east-1",
    "eu-west-1",
    "us-west-2",
    "ap-southeast-2",
    "eu-central-1",
    "ap-northeast-1",
    "us-east-2",
    "ca-central-1",
    "sa-east-1",
    "eu-north-1",
    "ap-south-1",
    "eu-west-2",
    "ap-southeast-1",
    "us-west-1",
    "eu-west-3",
    "ap-northeast-2",
    "eu-south-1",
    "me-south-1",
    "af-south-1",
    "ap-east-1",
    "ap-northeast-3",
    "eu-central-2",
    "ap-south-2",
    "il-central-1",
];

/// Where a resource of a type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// In one zone of a region.
    Zone,
    /// In a region.
    Region,
    /// In no region.
    Everywhere,
    /// In a region that its ARN does not tell, nor the account.
    Bucket,
}

/// A type of resources.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Its name in the format.
    pub(crate) name: Box<str>,
    /// The service in its ARNs.
    pub(crate) service: &'static str,
    /// What stands before the id in its ARNs.
    pub(crate) before_id: Box<str>,
    /// What its ids begin with.
    pub(crate) id: Box<str>,
    /// Where it is.
    pub(crate) reach: Reach,
    /// What its configuration may hold.
    pub(crate) attributes: Box<[Attribute]>,
}

/// A row of the list: names in AWS Config and in Terraform, service, what stands before the id in an
/// ARN, what an id begins with.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, Reach);

#[rustfmt::skip]
const TYPES: [Row; 40] = [
    ("AWS::EC2::Instance", "aws_instance", "ec2", "instance/", "i-0", Reach::Zone),
    ("AWS::EC2::Volume", "aws_ebs_volume", "ec2", "volume/", "vol-0", Reach::Zone),
    ("AWS::EC2::NetworkInterface", "aws_network_interface", "ec2", "network-interface/", "eni-0", Reach::Zone),
    ("AWS::S3::Bucket", "aws_s3_bucket", "s3", "", "bucket-", Reach::Bucket),
    ("AWS::EC2::SecurityGroup", "aws_security_group", "ec2", "security-group/", "sg-0", Reach::Region),
    ("AWS::IAM::Role", "aws_iam_role", "iam", "role/", "role-", Reach::Everywhere),
    ("AWS::Lambda::Function", "aws_lambda_function", "lambda", "function:", "function-", Reach::Region),
    ("AWS::EC2::Subnet", "aws_subnet", "ec2", "subnet/", "subnet-0", Reach::Zone),
    ("AWS::RDS::DBInstance", "aws_db_instance", "rds", "db:", "db-", Reach::Zone),
    ("AWS::SQS::Queue", "aws_sqs_queue", "sqs", "", "queue-", Reach::Region),
    ("AWS::DynamoDB::Table", "aws_dynamodb_table", "dynamodb", "table/", "table-", Reach::Region),
    ("AWS::KMS::Key", "aws_kms_key", "kms", "key/", "mrk-", Reach::Region),
    ("AWS::EC2::VPC", "aws_vpc", "ec2", "vpc/", "vpc-0", Reach::Region),
    ("AWS::SNS::Topic", "aws_sns_topic", "sns", "", "topic-", Reach::Region),
    ("AWS::CloudWatch::Alarm", "aws_cloudwatch_metric_alarm", "cloudwatch", "alarm:", "alarm-", Reach::Region),
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", "aws_lb", "elasticloadbalancing", "loadbalancer/app/", "lb-", Reach::Region),
    ("AWS::AutoScaling::AutoScalingGroup", "aws_autoscaling_group", "autoscaling", "autoScalingGroup:", "asg-", Reach::Region),
    ("AWS::IAM::Policy", "aws_iam_policy", "iam", "policy/", "policy-", Reach::Everywhere),
    ("AWS::ECS::Service", "aws_ecs_service", "ecs", "service/", "service-", Reach::Region),
    ("AWS::ECS::Cluster", "aws_ecs_cluster", "ecs", "cluster/", "cluster-", Reach::Region),
    ("AWS::EKS::Cluster", "aws_eks_cluster", "eks", "cluster/", "cluster-", Reach::Region),
    ("AWS::ECR::Repository", "aws_ecr_repository", "ecr", "repository/", "repository-", Reach::Region),
    ("AWS::EFS::FileSystem", "aws_efs_file_system", "elasticfilesystem", "file-system/", "fs-0", Reach::Region),
    ("AWS::EC2::RouteTable", "aws_route_table", "ec2", "route-table/", "rtb-0", Reach::Region),
    ("AWS::EC2::InternetGateway", "aws_internet_gateway", "ec2", "internet-gateway/", "igw-0", Reach::Region),
    ("AWS::EC2::NatGateway", "aws_nat_gateway", "ec2", "natgateway/", "nat-0", Reach::Zone),
    ("AWS::EC2::EIP", "aws_eip", "ec2", "elastic-ip/", "eipalloc-0", Reach::Region),
    ("AWS::EC2::NetworkAcl", "aws_network_acl", "ec2", "network-acl/", "acl-0", Reach::Region),
    ("AWS::EC2::LaunchTemplate", "aws_launch_template", "ec2", "launch-template/", "lt-0", Reach::Region),
    ("AWS::EC2::VPCEndpoint", "aws_vpc_endpoint", "ec2", "vpc-endpoint/", "vpce-0", Reach::Region),
    ("AWS::IAM::User", "aws_iam_user", "iam", "user/", "user-", Reach::Everywhere),
    ("AWS::RDS::DBCluster", "aws_rds_cluster", "rds", "cluster:", "cluster-", Reach::Region),
    ("AWS::CloudTrail::Trail", "aws_cloudtrail", "cloudtrail", "trail/", "trail-", Reach::Region),
    ("AWS::StepFunctions::StateMachine", "aws_sfn_state_machine", "states", "stateMachine:", "machine-", Reach::Region),
    ("AWS::Kinesis::Stream", "aws_kinesis_stream", "kinesis", "stream/", "stream-", Reach::Region),
    ("AWS::OpenSearch::Domain", "aws_opensearch_domain", "es", "domain/", "domain-", Reach::Region),
    ("AWS::ApiGateway::RestApi", "aws_api_gateway_rest_api", "apigateway", "restapis/", "api-", Reach::Region),
    ("AWS::CloudFront::Distribution", "aws_cloudfront_distribution", "cloudfront", "distribution/", "E", Reach::Everywhere),
    ("AWS::Backup::BackupVault", "aws_backup_vault", "backup", "backup-vault:", "vault-", Reach::Region),
    ("AWS::ACM::Certificate", "aws_acm_certificate", "acm", "certificate/", "certificate-", Reach::Region),
];

impl Kind {
    /// The type of a rank, the most frequent first.
    pub(crate) fn of(rank: u32, format: Format, size: Size) -> Self {
        let terraform = format == Format::TerraformState;
        let attributes = schema(rank, size, terraform);
        if let Some((config, tf, service, before_id, id, reach)) = TYPES.get(rank as usize) {
            return Self {
                name: if terraform { *tf } else { *config }.into(),
                service,
                before_id: (*before_id).into(),
                id: (*id).into(),
                reach: *reach,
                attributes,
            };
        }
        let number = rank + 1;
        let name = if terraform {
            format!("aws_service_thing{number}")
        } else {
            format!("AWS::Service::Thing{number}")
        };
        Self {
            name: name.into(),
            service: "service",
            before_id: format!("thing{number}/").into(),
            id: "thing-".into(),
            reach: Reach::Region,
            attributes,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_distinct() {
        for format in [Format::AwsConfig, Format::TerraformState] {
            let kinds: Vec<Kind> =
                (0..60).map(|rank| Kind::of(rank, format, Size::Small)).collect();
            let names: HashSet<&str> = kinds.iter().map(|kind| &*kind.name).collect();
            assert_eq!(names.len(), 60);
        }
        assert_eq!(REGIONS.iter().collect::<HashSet<_>>().len(), REGIONS.len());
        assert_eq!(&*Kind::of(40, Format::Native, Size::Small).name, "AWS::Service::Thing41");
    }
}
