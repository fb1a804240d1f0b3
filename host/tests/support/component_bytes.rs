//! Small components, written byte by byte; the format is that of the Component Model's `Binary.md`.

/// The preamble of every component: the empty one is just this.
pub const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A section of a component.
pub fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 0x80, "would need a longer LEB128");
    [&[id, length], content].concat()
}

/// A name as it stands in imports and exports.
pub fn name(text: &str) -> Vec<u8> {
    [&[0, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// A component that imports an empty interface of this name and exports nothing.
pub fn importing(interface: &str) -> Vec<u8> {
    let types = section(7, &[1, 0x42, 0]);
    let imports = section(10, &[&[1], name(interface).as_slice(), &[5, 0]].concat());
    [COMPONENT, &types, &imports].concat()
}

/// A component that exports an empty interface of this name.
pub fn exporting(interface: &str) -> Vec<u8> {
    let instances = section(5, &[1, 1, 0]);
    let exports = section(11, &[&[1], name(interface).as_slice(), &[5, 0, 0]].concat());
    [COMPONENT, &instances, &exports].concat()
}
