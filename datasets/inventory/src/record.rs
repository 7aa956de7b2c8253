//! Records: the same resource as the formats write it.

use crate::catalogue::{REGIONS, Reach};
use crate::options::{Envelope, Format, Size};
use crate::resource::{Fate, Resource, Roll};
use crate::text::{put, put_digits, put_hex, put_number};

/// Where a Terraform state says its provider comes from.
const PROVIDER: &str = r#"provider[\"registry.opentofu.org/hashicorp/aws\"]"#;

impl Resource<'_> {
    /// Appends the resource as a record of the inventory's format, without a line end; nothing where
    /// it is missing.
    pub fn append(&self, out: &mut Vec<u8>) {
        if self.fate() == Fate::Missing {
            return;
        }
        match self.inventory.options.format {
            Format::AwsConfig | Format::AwsConfigSnapshot => self.append_item(out),
            Format::Native => self.append_native(out),
            Format::CloudEvents => self.append_event(out),
            Format::TerraformState => self.append_declared(out),
        }
    }

    fn is_small(&self) -> bool {
        self.inventory.options.size == Size::Small
    }

    fn append_item(&self, out: &mut Vec<u8>) {
        let first = self.inventory.options.envelope == Envelope::First;
        put(out, b"{");
        if first {
            self.append_envelope(out);
            put(out, b",");
            self.append_tags(out);
            put(out, b",");
        }
        put(out, b"\"relationships\":[");
        self.append_relationship(out, ["resourceType", "resourceId"]);
        put(out, b"],\"configuration\":{");
        self.append_attributes(out);
        put(out, b"}");
        if !first {
            put(out, b",");
            self.append_tags(out);
            put(out, b",");
            self.append_envelope(out);
        }
        put(out, b"}");
    }

    /// The members of an item that say what it is and when it was seen.
    fn append_envelope(&self, out: &mut Vec<u8>) {
        if !self.is_small() {
            put(out, b"\"configurationItemVersion\":\"1.3\",");
        }
        put(out, b"\"configurationItemCaptureTime\":\"");
        self.inventory.times.put(out, self.index);
        put(out, b"\",\"configurationStateId\":");
        put_number(out, self.inventory.times.millis(self.index));
        put(out, b",\"awsAccountId\":\"");
        put(out, self.account());
        if !self.is_small() {
            put(out, b"\",\"configurationItemStatus\":\"OK");
        }
        put(out, b"\",\"resourceType\":\"");
        put(out, &*self.kind.name);
        put(out, b"\",\"resourceId\":\"");
        self.append_id(out);
        put(out, b"\",\"ARN\":\"");
        self.append_arn(out);
        put(out, b"\",\"awsRegion\":\"");
        self.append_region(out);
        if !self.is_small() {
            put(out, b"\",\"availabilityZone\":\"");
            self.append_zone(out);
        }
        put(out, b"\"");
    }

    fn append_region(&self, out: &mut Vec<u8>) {
        let global = self.kind.reach == Reach::Everywhere;
        put(out, if global { "global" } else { REGIONS[self.region] });
    }

    fn append_zone(&self, out: &mut Vec<u8>) {
        match self.kind.reach {
            Reach::Zone => {
                put(out, REGIONS[self.region]);
                put(out, ["a", "b", "c"][(self.roll(Roll::Zone) % 3) as usize]);
            }
            Reach::Region | Reach::Bucket => put(out, b"Regional"),
            Reach::Everywhere => put(out, b"Not Applicable"),
        }
    }

    /// `"tags":{…}`: one, three or five of them.
    fn append_tags(&self, out: &mut Vec<u8>) {
        let roll = self.roll(Roll::Tags);
        put(out, b"\"tags\":{\"Owner\":\"team-");
        put_number(out, roll % 40);
        if !self.is_small() {
            put(out, b"\",\"Environment\":\"");
            put(out, ["production", "staging", "test"][((roll >> 8) % 3) as usize]);
            put(out, b"\",\"Project\":\"project-");
            put_number(out, (roll >> 16) % 300);
        }
        if self.inventory.options.size == Size::Large {
            put(out, b"\",\"CostCenter\":\"CC-");
            put_digits::<4>(out, roll >> 32);
            put(out, b"\",\"ManagedBy\":\"");
            put(out, ["pipeline", "platform", "by hand"][((roll >> 56) % 3) as usize]);
        }
        put(out, b"\"}");
    }

    /// The network a resource is in, or the key it is encrypted with; small ones have neither.
    fn append_relationship(&self, out: &mut Vec<u8>, [resource_type, id]: [&str; 2]) {
        if self.is_small() {
            return;
        }
        let network = matches!(self.kind.reach, Reach::Zone | Reach::Region);
        put(out, b"{\"");
        put(out, resource_type);
        put(out, if network { "\":\"AWS::EC2::VPC\",\"" } else { "\":\"AWS::KMS::Key\",\"" });
        put(out, id);
        put(out, if network { "\":\"vpc-0" } else { "\":\"mrk-" });
        put_hex::<16>(out, self.neighbour());
        put(out, b"\",\"name\":\"");
        put(out, if network { "Is contained in Vpc" } else { "Is associated with Key" });
        put(out, b"\"}");
    }

    /// One of four per account and region.
    fn neighbour(&self) -> u64 {
        let places = self.inventory.places.of(self.account as u64).of(self.region as u64);
        places.roll(self.roll(Roll::Neighbour) % 4)
    }

    fn append_native(&self, out: &mut Vec<u8>) {
        put(out, b"{\"provider\":\"aws\",\"account\":\"");
        put(out, self.account());
        put(out, b"\",\"region\":\"");
        self.append_region(out);
        put(out, b"\",\"type\":\"");
        put(out, &*self.kind.name);
        put(out, b"\",\"id\":\"");
        self.append_id(out);
        put(out, b"\",\"aliases\":[\"");
        self.append_arn(out);
        put(out, b"\"],\"observed_at\":\"");
        self.inventory.times.put(out, self.index);
        put(out, b"\",\"version\":");
        put_number(out, self.inventory.times.millis(self.index));
        put(out, b",");
        self.append_tags(out);
        put(out, b",\"relationships\":[");
        self.append_relationship(out, ["type", "id"]);
        put(out, b"],\"attributes\":{");
        self.append_attributes(out);
        put(out, b"}}");
    }

    fn append_event(&self, out: &mut Vec<u8>) {
        put(out, b"{\"specversion\":\"1.0\",\"type\":\"deployforge.observation.v1\",\"id\":\"");
        put_number(out, self.inventory.options.round.into());
        put(out, b"-");
        self.append_id(out);
        put(out, b"\",\"source\":\"/accounts/");
        put(out, self.account());
        put(out, b"\",\"time\":\"");
        self.inventory.times.put(out, self.index);
        put(out, b"\",\"datacontenttype\":\"application/json\",\"data\":");
        self.append_native(out);
        put(out, b"}");
    }

    /// A resource of a state, with its one instance.
    fn append_declared(&self, out: &mut Vec<u8>) {
        put(out, b"{\"mode\":\"managed\",\"type\":\"");
        put(out, &*self.kind.name);
        put(out, b"\",\"name\":\"r_");
        put_hex::<16>(out, self.dice.name());
        put(out, b"\",\"provider\":\"");
        put(out, PROVIDER);
        put(out, b"\",\"instances\":[{\"schema_version\":1,\"attributes\":{\"arn\":\"");
        self.append_arn(out);
        put(out, b"\",\"id\":\"");
        self.append_id(out);
        put(out, b"\",");
        if self.kind.reach == Reach::Bucket {
            put(out, b"\"region\":\"");
            self.append_region(out);
            put(out, b"\",");
        }
        self.append_attributes(out);
        put(out, b",");
        self.append_tags(out);
        if !self.is_small() {
            put(out, b",\"vpc_id\":\"vpc-0");
            put_hex::<16>(out, self.neighbour());
            put(out, b"\"");
        }
        put(out, b"},\"sensitive_attributes\":[],\"private\":\"bnVsbA==\"");
        if !self.is_small() {
            put(out, b",\"dependencies\":[\"aws_vpc.r_");
            put_hex::<16>(out, self.neighbour());
            put(out, b"\"]");
        }
        put(out, b"}]}");
    }
}
