//! `larder __serve`: the background process. People never type it.

use larder_session::serve::serve;

/// Serves one session; what becomes of it is said to the command that started it.
pub fn run() {
    serve();
}
