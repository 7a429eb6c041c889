use super::*;

#[test]
fn static_functions_are_seen_in_the_text() {
    let text = "static int one(int a) { }\n  static __always_inline u64 *two (void)\n{ }\nint three(void);\n\
                static int number;\nstatic struct a four(\n// static five(\nstatics(six)\n";
    assert_eq!(statics(text), ["one", "two", "four"]);
}

#[test]
fn what_is_no_object_for_bpf_is_told() {
    assert!(programs(b"text").is_err());
    let own = std::fs::read("/proc/self/exe").unwrap();
    assert!(programs(&own).unwrap_err().starts_with("it is for "));
    assert_eq!(section_text(b"text", "license"), None);
    // Neither does anything to what it does not understand.
    let mut bytes = *b"text";
    hide_functions(&mut bytes);
    unlock_license(&mut bytes);
    assert_eq!(&bytes, b"text");
}
