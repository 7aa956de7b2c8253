//! Folds of names: one object, called by its name or by where it is.

/// Whether one text is a name and the other an ARN, URL or path that ends with it.
pub(super) fn name(a: &str, b: &str) -> bool {
    is_name_of(a, b) || is_name_of(b, a)
}

fn is_name_of(name: &str, full: &str) -> bool {
    let is_full = full.starts_with("arn:") || full.contains('/');
    is_full
        && !name.is_empty()
        && full.len() > name.len()
        && full
            .strip_suffix(name)
            .is_some_and(|before| before.ends_with(['/', ':']) && !name.contains('/'))
}

/// Whether one text is what stands behind an underscore at the end of the other.
pub(super) fn last_part(a: &str, b: &str) -> bool {
    let ends = |short: &str, long: &str| {
        !short.is_empty() && long.strip_suffix(short).is_some_and(|before| before.ends_with('_'))
    };
    ends(a, b) || ends(b, a)
}

/// Whether one text is a link of Google's and the other the end of it that says where, counted in whole
/// segments: hosts and versions of the API mean nothing.
pub(super) fn link(a: &str, b: &str) -> bool {
    let (a, b) = (place(a), place(b));
    let (short, long) = if a.len() <= b.len() { (&a, &b) } else { (&b, &a) };
    !short.is_empty() && long.len() > 1 && long.ends_with(short)
}

/// The segments of a link that say which object it is.
fn place(text: &str) -> Vec<&str> {
    let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("//"));
    let mut segments: Vec<&str> = bare.unwrap_or(text).split('/').collect();
    if bare.is_some() {
        segments.remove(0);
        // `compute/v1`, `v1beta1`: the way to the API.
        let version = |segment: &&str| {
            *segment == "beta"
                || (segment.starts_with('v')
                    && segment[1..].starts_with(|c: char| c.is_ascii_digit()))
        };
        if let Some(at) = segments.iter().take(2).position(version) {
            segments.drain(..=at);
        }
    }
    segments
}
