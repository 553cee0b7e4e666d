//! The page in a browser: Chromium without a window, and without a network.

mod chromium;
