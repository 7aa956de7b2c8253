//! Amazon resource names, from which keys take what a format lacks.

/// The parts of `arn:partition:service:region:account:resource`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arn<'a> {
    /// The service, such as `ec2`.
    pub(crate) service: &'a str,
    /// The region, empty for what is global and for what does not say.
    pub(crate) region: &'a str,
    /// The account, empty for what does not say (buckets).
    pub(crate) account: &'a str,
}

impl<'a> Arn<'a> {
    /// Splits an ARN; anything else is `None`.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        (parts.next()? == "arn").then_some(())?;
        parts.next()?;
        let service = parts.next()?;
        let region = parts.next()?;
        let account = parts.next()?;
        parts.next()?;
        Some(Self { service, region, account })
    }

    /// Whether the resource has no region, as opposed to an ARN that does not tell it.
    pub(crate) fn is_global(self) -> bool {
        self.region.is_empty() && (!self.account.is_empty() || self.service == "route53")
    }
}

/// Whether a word is spelled like an AWS region: `eu-west-1`, `us-gov-east-1`, and, as provider
/// aliases have it, `eu_west_1`.
pub(crate) fn region_like(word: &str) -> Option<String> {
    let region = word.replace('_', "-").to_ascii_lowercase();
    let parts: Vec<&str> = region.split('-').collect();
    let (first, rest) = parts.split_first()?;
    let (number, middle) = rest.split_last()?;
    let compass = |part: &&str| {
        matches!(
            *part,
            "north"
                | "south"
                | "east"
                | "west"
                | "central"
                | "northeast"
                | "northwest"
                | "southeast"
                | "southwest"
        )
    };
    let area = |part: &&str| matches!(*part, "gov" | "iso" | "isob" | "isoe" | "isof");
    let shaped = first.len() == 2
        && first.bytes().all(|byte| byte.is_ascii_lowercase())
        && matches!(number.len(), 1 | 2)
        && number.bytes().all(|byte| byte.is_ascii_digit());
    let named = match middle {
        [one] => compass(one),
        [one, two] => area(one) && compass(two),
        _ => false,
    };
    (shaped && named).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_arns() {
        let arn = Arn::parse("arn:aws:ec2:eu-west-1:123:instance/i-0:x").unwrap();
        assert_eq!((arn.service, arn.region, arn.account), ("ec2", "eu-west-1", "123"));
        assert!(Arn::parse("arn:aws:iam::123:role/x").unwrap().is_global());
        assert!(!Arn::parse("arn:aws:s3:::bucket").unwrap().is_global());
        assert!(Arn::parse("arn:aws:s3").is_none());
        assert!(Arn::parse("urn:aws:s3:::bucket").is_none());
    }

    #[test]
    fn knows_regions_by_their_shape() {
        assert_eq!(region_like("us_east_1").as_deref(), Some("us-east-1"));
        assert_eq!(region_like("us-gov-west-1").as_deref(), Some("us-gov-west-1"));
        assert_eq!(region_like("ap-southeast-12").as_deref(), Some("ap-southeast-12"));
        for other in ["primary", "eu-west", "prod-east-1", "us-blue-1", "us-east-1a", ""] {
            assert_eq!(region_like(other), None, "{other}");
        }
    }
}
