//! Which ONNX Runtime library is installed on which platform.
//!
//! The wheels are those of CPython 3.11; the library inside does not depend on Python. On macOS and Windows the
//! libraries of other wheels differ in their signatures, so wheel and library are pinned as a pair.

use crate::python_package::PackageFile;

/// The version that is installed.
pub const VERSION: &str = "1.31.1";

/// The library for one platform.
#[derive(Clone, Copy, Debug)]
pub struct LibraryPin {
    /// As in [`std::env::consts::OS`].
    pub os: &'static str,
    /// As in [`std::env::consts::ARCH`].
    pub arch: &'static str,
    /// Where it comes from.
    pub file: PackageFile<'static>,
}

impl LibraryPin {
    /// The library's file name.
    pub fn file_name(&self) -> &'static str {
        self.file.member.rsplit('/').next().unwrap_or(self.file.member)
    }
}

/// The library for the platform that this program was built for, if there is a wheel for it.
pub fn pin_for_this_platform() -> Option<&'static LibraryPin> {
    PINS.iter().find(|pin| pin.os == std::env::consts::OS && pin.arch == std::env::consts::ARCH)
}

/// There is no wheel for macOS on x86-64 since version 1.24.
pub(super) const PINS: &[LibraryPin] = &[
    pin(
        ("linux", "x86_64"),
        ("manylinux_2_28_x86_64", "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f"),
        (
            "onnxruntime/capi/libonnxruntime.so.1.31.1",
            "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
        ),
    ),
    pin(
        ("linux", "aarch64"),
        ("manylinux_2_28_aarch64", "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3"),
        (
            "onnxruntime/capi/libonnxruntime.so.1.31.1",
            "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
        ),
    ),
    pin(
        ("macos", "aarch64"),
        ("macosx_14_0_arm64", "60b6b69bfe580eab576cacc5d132a0e9cf2a37fcfd18d46dd191042b1d1ed0d7"),
        (
            "onnxruntime/capi/libonnxruntime.1.31.1.dylib",
            "f8b06155feece624e55e49124340eea279da812529ae6fbc46a9f2be9c9cad2e",
        ),
    ),
    pin(
        ("windows", "x86_64"),
        ("win_amd64", "c3d91b5de31e2fc82d71bd65b2b22bddee8b49057a3a36338e9a868e0ea90c05"),
        ("onnxruntime/capi/onnxruntime.dll", "8482d2ee174e28504f99730fb01d6861575870283de4ed3a897ad39170d9a9b9"),
    ),
    pin(
        ("windows", "aarch64"),
        ("win_arm64", "93800007a7023b3ab26ad72e6463d0d57d84ead49a2f6341954d91438e046bc0"),
        ("onnxruntime/capi/onnxruntime.dll", "f4f7729bf4aa0c78b6ab5253747f3593bb9a28b4c4275a0a9f59f04ea580d61f"),
    ),
];

const fn pin(
    (os, arch): (&'static str, &'static str),
    (platform, wheel_sha256): (&'static str, &'static str),
    (member, member_sha256): (&'static str, &'static str),
) -> LibraryPin {
    let file = PackageFile {
        package: "onnxruntime",
        version: VERSION,
        platform: Some(platform),
        wheel_sha256,
        member,
        member_sha256,
    };
    LibraryPin { os, arch, file }
}
