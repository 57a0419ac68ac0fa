//! Whom a log is given to.

use anyhow::{Result, bail};
use std::ffi::CString;
use std::mem::MaybeUninit;

/// A user and its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Primary group of the user.
    pub gid: u32,
}

/// What is enough for any entry of a user: the C library asks for more if it needs more.
const ENTRY: usize = 1024;
/// No entry is longer than this.
const LONGEST: usize = 1 << 20;

impl Owner {
    /// The user called `name`, as the C library finds it: in `/etc/passwd`, and, where the program
    /// is not linked statically, wherever `nsswitch.conf(5)` says.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn named(name: &str) -> Result<Self> {
        let Ok(text) = CString::new(name) else {
            bail!("there is no user {name:?}: a name has no NUL");
        };
        let mut buffer = vec![0; ENTRY];
        loop {
            let mut entry = MaybeUninit::<libc::passwd>::uninit();
            let mut found = std::ptr::null_mut();
            // SAFETY: all pointers are to live objects of the sizes that are given.
            let errno = unsafe {
                libc::getpwnam_r(
                    text.as_ptr(),
                    entry.as_mut_ptr(),
                    buffer.as_mut_ptr(),
                    buffer.len(),
                    &mut found,
                )
            };
            if !found.is_null() {
                // SAFETY: where a pointer to it comes back, the entry has been filled in.
                let entry = unsafe { entry.assume_init() };
                return Ok(Self {
                    uid: entry.pw_uid,
                    gid: entry.pw_gid,
                });
            }
            if errno == libc::ERANGE && buffer.len() < LONGEST {
                buffer.resize(buffer.len() * 2, 0);
                continue;
            }
            bail!("there is no user {name:?}: name one of /etc/passwd");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name() {
        assert_eq!(Owner::named("root").unwrap(), Owner { uid: 0, gid: 0 });
        let error = Owner::named("no such user").unwrap_err().to_string();
        assert!(error.contains("no such user"), "{error}");
        assert!(Owner::named("a\0b").is_err());
    }
}
