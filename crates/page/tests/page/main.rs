//! The page in a browser: Chromium without a window, and without a network.

// A test that cannot test anything says so.
#![allow(clippy::print_stderr)]

mod chromium;
