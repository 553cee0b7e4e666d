//! How the names of other machines are found.

/// Has names found in `/etc/hosts` and by name servers, and by nothing else, in a program that is linked
/// statically.
///
/// glibc's resolver, also where it is part of a program, loads the modules that `/etc/nsswitch.conf` names from the
/// machine's C library (the GNU C Library manual, "Name Service Switch"). That one may be of another version, which
/// ends the program, or missing. These two are built in. A program that uses the machine's library finds names as
/// all others there do.
pub fn find_ourselves() {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    in_glibc::find_by_files_and_dns();
}

#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
mod in_glibc {
    use std::ffi::{c_char, c_int};

    #[allow(unsafe_code)] // the declaration of a function of glibc (`nss/nss.h`)
    unsafe extern "C" {
        fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
    }

    pub(super) fn find_by_files_and_dns() {
        // SAFETY: it reads two strings that end in a zero byte, and nothing else runs yet that looks for a name.
        #[allow(unsafe_code)]
        let failed =
            unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) } != 0;
        // It fails for a database that does not exist, and without memory.
        debug_assert!(!failed, "glibc knows hosts, files and dns");
    }
}
