//! Which member of a stack a live resource is.

/// The name that AWS's reserved tags `aws:cloudformation:stack-name` and `aws:cloudformation:logical-id`
/// give a resource, as templates know it: `cfn://<stack>/<logical id>`. They are found in the text of a
/// state, as a map of tags or as a list of names and values, whatever these are called; nobody but
/// CloudFormation can set them.
pub fn stack_member(state: &[u8]) -> Option<String> {
    let stack = tag(state, "\"aws:cloudformation:stack-name\"")?;
    let member = tag(state, "\"aws:cloudformation:logical-id\"")?;
    Some(format!("cfn://{stack}/{member}"))
}

/// The value of a tag, by its quoted name.
fn tag<'t>(text: &'t [u8], name: &str) -> Option<&'t str> {
    let at = memchr::memmem::find(text, name.as_bytes())?;
    let after = text.get(at + name.len()..)?;
    if let Some(value) = member(after) {
        return Some(value);
    }
    // A list: the value stands in the same object, before or behind.
    let from = memchr::memrchr(b'{', text.get(..at)?)?;
    let length = memchr::memchr(b'}', text.get(from..)?)?;
    let object = text.get(from..from + length)?;
    ["\"value\"", "\"Value\""].iter().find_map(|name| {
        let at = memchr::memmem::find(object, name.as_bytes())?;
        member(object.get(at + name.len()..)?)
    })
}

/// The text behind the colon of a member. Names of stacks and of their members are letters, digits and
/// hyphens.
fn member(after: &[u8]) -> Option<&str> {
    let rest =
        after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let value = rest.get(..memchr::memchr(b'"', rest)?)?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    if value.is_empty() || !value.iter().all(is_plain) {
        return None;
    }
    std::str::from_utf8(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserved_tags_name_a_member_of_a_stack() {
        for state in [
            r#"{"tags":{"a":"b","aws:cloudformation:logical-id":"Vpc","aws:cloudformation:stack-name" : "net"}}"#,
            r#"{"Tags":[{"Key":"aws:cloudformation:stack-name","Value":"net"},{"Value":"Vpc","Key":"aws:cloudformation:logical-id"}]}"#,
            r#"{"tags":[{"key": "aws:cloudformation:stack-name", "value": "net"},{"key":"aws:cloudformation:logical-id","value":"Vpc","x":1}]}"#,
        ] {
            assert_eq!(stack_member(state.as_bytes()).as_deref(), Some("cfn://net/Vpc"), "{state}");
        }
        for state in [
            "{}",
            r#"{"tags":{"aws:cloudformation:logical-id":"Vpc"}}"#,
            r#"{"tags":{"aws:cloudformation:logical-id":"Vpc","aws:cloudformation:stack-name":"a/b"}}"#,
            r#"{"tags":{"aws:cloudformation:logical-id":7,"aws:cloudformation:stack-name":"#,
        ] {
            assert_eq!(stack_member(state.as_bytes()), None, "{state}");
        }
    }
}
