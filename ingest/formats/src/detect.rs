//! Which format a record is of: each format module says what it claims, this one only asks.

use deployforge_model::RejectCode;

use crate::json::{self, Members};
use crate::options::Format;
use crate::refusal::Refusal;
use crate::sink::Sink;
use crate::{
    aws_api, aws_config, azure, cloudevents, cloudformation, evidence, google, kubernetes, native,
    openstack, oracle, recording, terraform, terraform_json,
};

/// How many texts may be wrapped in texts: a queue's message holds a topic's message holds an event.
const NESTING: usize = 8;

/// Reads one record. What it refuses as a whole is returned; parts of it are refused on the way.
pub(crate) fn read(text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    if !text.starts_with('{') {
        let kind = if text.starts_with('[') { "a list within a list" } else { "a single value" };
        let reason = format!("This is {kind}, and a record is a JSON object.");
        return Err(Refusal::new(RejectCode::NotARecord, reason));
    }
    let members = Members::parse(text)?;
    if !native::is_plain(&members) && recording::claims(&members) {
        return recording::read(&members, text, sink);
    }
    let format = match recognise(&members) {
        Some(Format::Native) | None if sink.options.format == Some(Format::Native) => {
            Some(Format::Native)
        }
        format => format,
    };
    if let (Some(wanted), Some(found)) = (sink.options.format, format)
        && !wanted.takes(found)
    {
        // Queues and topics wrap whatever was sent through them.
        let transport =
            aws_config::is_transport(&members) || google::pubsub::is_transport(&members);
        let wrapped = wanted != Format::TerraformState && transport;
        if !wrapped && sink.nesting == 0 {
            let reason = format!("This is a record of {found}, and the input was named {wanted}.");
            return Err(Refusal::new(RejectCode::NotARecord, reason));
        }
    }
    let limit = sink.options.limits.record_bytes;
    let document = format.is_some_and(Format::is_document) || members.has("Records");
    if text.len() > limit && !document {
        let reason = format!(
            "This record is larger than the limit of {limit} bytes; split it, or leave out what need not be compared."
        );
        return Err(Refusal::new(RejectCode::TooLarge, reason));
    }
    match format {
        Some(Format::Native) => native::read(&members, None, sink),
        Some(Format::CloudEvents) => cloudevents::read(&members, sink),
        Some(Format::AwsConfig) => aws_config::read(&members, sink),
        Some(format) => match READERS.iter().find(|reader| reader.format == format) {
            Some(reader) => {
                sink.saw(format);
                (reader.read)(&members, text, sink)
            }
            None => Err(unknown(&members, sink.options.format)),
        },
        None => Err(unknown(&members, sink.options.format)),
    }
}

/// How one format's module is asked.
struct ReaderOf {
    format: Format,
    claims: fn(&Members<'_>) -> bool,
    read: fn(&Members<'_>, &str, &mut Sink<'_>) -> Result<(), Refusal>,
}

macro_rules! readers {
    ($($format:ident => $($module:ident)::+),+ $(,)?) => {
        [$(ReaderOf {
            format: Format::$format,
            claims: $($module)::+::claims,
            read: $($module)::+::read,
        }),+]
    };
}

/// The formats whose modules are asked in this order; each claims only what no other would.
const READERS: [ReaderOf; 15] = readers! {
    TerraformState => terraform,
    TerraformJson => terraform_json,
    CloudFormation => cloudformation,
    KubernetesAudit => evidence::kubernetes_audit,
    Kubernetes => kubernetes,
    ArmTemplate => azure::template,
    GoogleAssets => google::assets,
    CloudTrail => evidence::cloudtrail,
    AzureActivity => evidence::azure_activity,
    GoogleAudit => evidence::google_audit,
    Azure => azure::resources,
    Oracle => oracle,
    OpenStack => openstack,
    GoogleApi => google::api,
    AwsApi => aws_api,
};

/// Hosts of Azure Resource Manager.
const AZURE: [&str; 4] = [
    "management.azure.com",
    "management.usgovcloudapi.net",
    "management.chinacloudapi.cn",
    "management.microsoftazure.de",
];

/// Reads a recorded reply: where its host is known, as what that host sends.
pub(crate) fn read_reply(text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let Some(request) = sink.request.clone() else { return read(text, sink) };
    let host = request.host();
    let format = if host.ends_with("googleapis.com") {
        Format::GoogleApi
    } else if AZURE.contains(&&*host) {
        Format::Azure
    } else {
        // Nobody records our own format from an API: what looks like it is something else.
        let members = Members::parse(text)?;
        return match recognise(&members) {
            Some(Format::Native) if !native::is_plain(&members) => {
                Err(recording::unknown_reply(&request))
            }
            None => Err(recording::unknown_reply(&request)),
            Some(_) => read(text, sink),
        };
    };
    let members = Members::parse(text)?;
    sink.saw(format);
    match READERS.iter().find(|reader| reader.format == format) {
        Some(reader) => (reader.read)(&members, text, sink),
        None => Err(recording::unknown_reply(&request)),
    }
}

/// Reads a record that stands, as text, inside another.
pub(crate) fn read_nested(text: &str, sink: &mut Sink<'_>) -> Result<(), Refusal> {
    let limit = sink.options.limits.depth;
    deeper(sink, |sink| read(json::nested(text, limit)?.get(), sink))
}

/// Counts one level of wrapping.
pub(crate) fn deeper(
    sink: &mut Sink<'_>,
    inner: impl FnOnce(&mut Sink<'_>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    if sink.nesting >= NESTING {
        return Err(Refusal::TooDeep { limit: NESTING });
    }
    sink.nesting += 1;
    let result = inner(sink);
    sink.nesting -= 1;
    result
}

/// Which format claims the record.
pub(crate) fn recognise(members: &Members<'_>) -> Option<Format> {
    if native::is_plain(members) {
        Some(Format::Native)
    } else if cloudevents::claims(members) {
        Some(Format::CloudEvents)
    } else if aws_config::claims(members) {
        Some(Format::AwsConfig)
    } else if let Some(reader) = READERS.iter().find(|reader| (reader.claims)(members)) {
        Some(reader.format)
    } else if native::claims(members) {
        Some(Format::Native)
    } else {
        None
    }
}

/// What to say about JSON that no format claims.
fn unknown(members: &Members<'_>, wanted: Option<Format>) -> Refusal {
    let kind = members.has("$schema").then_some("a template or schema document");
    let reason = match (kind, wanted) {
        (Some(kind), _) => format!("This is {kind} of a kind that is not read."),
        (None, Some(wanted)) => {
            format!("This is not a record of {wanted}; check the file and the format's name.")
        }
        (None, None) => {
            "This is no record of a known format; name the format (`aws-api:FILE`), or a \
                         reply's file after its call (`ec2.DescribeVpcs.json`)."
                .to_owned()
        }
    };
    let code = if kind.is_some() { RejectCode::Unsupported } else { RejectCode::NotARecord };
    Refusal::new(code, reason)
}
