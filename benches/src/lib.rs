//! Benches live in `benches/`, one file or folder a subject; the package needs a library to be one.
