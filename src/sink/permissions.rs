//! The permissions of a file that takes the place of another one: the same, or fewer
//! where the same cannot be had.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    path::Path,
};

use rustix::{
    fs::{XattrFlags, fremovexattr, fsetxattr, lgetxattr},
    io::Errno,
};

use super::paths::check_owner;

/// The attribute that holds an access control list (acl(5)).
const ACL: &str = "system.posix_acl_access";

/// The most bytes of an attribute (xattr(7)).
const MAX_ATTRIBUTE_LENGTH: usize = 65536;

/// The mode bits of the owner, and those that belong to no class of users.
const OF_OWNER: u32 = 0o7700;

/// The owner, the group, the mode and the access control list of a regular file.
#[derive(Debug)]
pub(super) struct Permissions {
    user: u32,
    group: u32,
    mode: u32,
    acl: Acl,
}

/// The access control list of a file. With one, the mode's bits of the group are a
/// limit for the list, and not what the group may do.
#[derive(Debug)]
enum Acl {
    None,
    List(Vec<u8>),
    /// It cannot be read.
    Unknown,
}

impl Permissions {
    /// Returns the permissions of the regular file at `path`; `None` if there is none.
    ///
    /// # Errors
    /// Those of [`check_owner`].
    pub(super) fn of(path: &Path) -> io::Result<Option<Self>> {
        check_owner(path)?;
        let found = fs::symlink_metadata(path);
        let Some(found) = found.ok().filter(fs::Metadata::is_file) else {
            return Ok(None);
        };
        let mut list = vec![0; MAX_ATTRIBUTE_LENGTH];
        let acl = match lgetxattr(path, ACL, &mut list[..]) {
            Ok(length) => {
                list.truncate(length);
                Acl::List(list)
            }
            Err(error) if is_absent(error) => Acl::None,
            Err(_) => Acl::Unknown,
        };
        Ok(Some(Self {
            user: found.uid(),
            group: found.gid(),
            mode: found.mode(),
            acl,
        }))
    }

    /// Gives these permissions to `file`. Where the group or the list cannot be
    /// given, nobody may do more than before.
    ///
    /// # Errors
    /// That of the system, if the mode cannot be set.
    pub(super) fn apply(&self, file: &File) -> io::Result<()> {
        // Only root may change the owner, but an owner may choose among their groups.
        // If neither is allowed, the new file keeps this process's user and group.
        let has_group = fchown(file, Some(self.user), Some(self.group)).is_ok()
            || fchown(file, None, Some(self.group)).is_ok();
        let mut mode = self.mode;
        if !has_group {
            // Members of the earlier group are now others, and some others are members.
            let common = mode & (mode >> 3) & 0o7;
            mode = (mode & OF_OWNER) | (common << 3) | common;
        }
        let has_list = match &self.acl {
            // The file may have one by its folder's default.
            Acl::None => fremovexattr(file, ACL).or_else(|error| match is_absent(error) {
                true => Ok(()),
                false => Err(error),
            }),
            Acl::List(list) if has_group => fsetxattr(file, ACL, list, XattrFlags::empty()),
            Acl::List(_) | Acl::Unknown => Err(Errno::PERM),
        };
        if has_list.is_err() {
            mode &= OF_OWNER;
        }
        file.set_permissions(fs::Permissions::from_mode(mode))
    }
}

/// Returns whether `error` says that a file, or its file system, has no such
/// attribute.
fn is_absent(error: Errno) -> bool {
    [Errno::NODATA, Errno::OPNOTSUPP, Errno::NOSYS].contains(&error)
}
