//! Tests of the module above.

use super::*;

#[test]
fn finds_what_ends_a_string() {
    for at in 0..40 {
        for byte in [b'"', b'\\', 0u8, 0x1f] {
            let mut text = vec![0x7f; 48];
            text[..at].fill(0xc3);
            text[at] = byte;
            assert_eq!(special(&text), Some((at, at == 0)));
            assert_eq!(special(&text[..at]), None);
            text[..at].fill(0x20);
            assert_eq!(special(&text), Some((at, true)));
        }
    }
}

#[test]
fn numbers_follow_the_grammar() {
    for good in ["0", "-0", "10", "1.5", "-1.50e+10", "0e0", "1E-2"] {
        assert!(is_json_number(good.as_bytes()), "{good}");
    }
    for bad in ["", "-", "01", "1.", ".5", "1e", "1e+", "+1", "1.5.2", "--1"] {
        assert!(!is_json_number(bad.as_bytes()), "{bad}");
    }
}
