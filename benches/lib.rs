//! Input for the benches: a seeded inventory of AWS Config items.
//!
//! What it will not do: measure. The benches stand in `benches/`, one function per step of the hot
//! path; `cargo bench -p deployforge-benches` runs them.

/// `count` AWS Config items as NDJSON, about 1 kB each; every `drift`-th (0: none) differs from what
/// a call with 0 gives, in one attribute.
pub fn inventory(count: u64, drift: u64) -> Vec<u8> {
    let mut text = String::new();
    for i in 0..count {
        let size = if drift > 0 && i % drift == 0 { 9 } else { 8 };
        let attributes: Vec<String> = (0..20)
            .map(|a| format!(r#""attribute{a}":{{"mode":"m{}","level":{}}}"#, i % 7, a * i % 997))
            .collect();
        text.push_str(&format!(
            concat!(
                r#"{{"configurationItemVersion":"1.3","configurationItemCaptureTime":"2026-11-20T09:00:00Z","#,
                r#""configurationStateId":{},"awsAccountId":"111111111111","configurationItemStatus":"OK","#,
                r#""resourceType":"AWS::EC2::Volume","resourceId":"vol-{:08}","awsRegion":"eu-west-1","#,
                r#""tags":{{"Owner":"team-{}"}},"relationships":[],"configuration":{{"size":{},{}}}}}"#,
                "\n"
            ),
            1 + drift,
            i,
            i % 30,
            size,
            attributes.join(",")
        ));
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::inventory;

    #[test]
    fn drift_changes_what_it_says() {
        let (base, seen) = (inventory(100, 0), inventory(100, 10));
        let changed = |line: &&[u8]| line.windows(8).any(|w| w == br#""size":9"#);
        assert_eq!(base.split(|&b| b == b'\n').filter(changed).count(), 0);
        assert_eq!(seen.split(|&b| b == b'\n').filter(changed).count(), 10);
    }
}
