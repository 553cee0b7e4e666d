//! What is logged: `--verbose`, `LARDER_LOG`.

/// The filter of the log: `LARDER_LOG` if it is set, in the form of tracing's `Targets`, else as
/// often as `-v` was typed. Targets are crates, so `larder` is all of ours.
pub fn log_filter(verbose: u8, in_background: bool) -> String {
    let variable = std::env::var("LARDER_LOG").ok();
    if let Some(filter) = variable.filter(|filter| !filter.is_empty()) {
        return filter;
    }
    let filter = match verbose {
        0 if in_background => "info",
        0 => "larder=warn",
        1 => "larder=info",
        2 => "larder=debug",
        _ => "debug",
    };
    filter.to_owned()
}
