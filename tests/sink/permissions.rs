//! Who may read a file that takes the place of another one, and its manifest.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

use nix::unistd::geteuid;
use rustix::{
    fs::{XattrFlags, getxattr, setxattr},
    io::Errno,
};

use crate::support::{GoldDigger, on_a_server};

const ONE_ROW: &str = "SELECT 1 AS a";

/// The attribute that holds an access control list (acl(5)).
const ACL: &str = "system.posix_acl_access";

/// The attribute of the list that new files of a folder get.
const DEFAULT_ACL: &str = "system.posix_acl_default";

/// The list `u::rw,u:NOBODY:r,g::-,m::r,o::-`: the mode's group bits are the mask, not
/// what the group may do.
fn user_but_not_group() -> Vec<u8> {
    const NONE: u32 = u32::MAX;
    let entries = [
        (1u16, 6u16, NONE),
        (2, 4, 65534),
        (4, 0, NONE),
        (16, 4, NONE),
        (32, 0, NONE),
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// Returns the access control list of the file at `path`; `None` if it has none.
fn acl(path: &Path) -> Option<Vec<u8>> {
    let mut buffer = [0; 1000];
    match getxattr(path, ACL, &mut buffer) {
        Ok(length) => Some(buffer[..length].to_vec()),
        Err(Errno::NODATA) => None,
        Err(error) => panic!("{error}"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("the file").mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("permissions");
}

#[test]
fn a_new_file_lets_in_nobody_whom_the_earlier_one_kept_out() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("x.csv");
        let export = || db.export(ONE_ROW).arg("-o").arg(&file).run().wrote("");
        fs::write(&file, "earlier").expect("a file");
        let list = user_but_not_group();
        if setxattr(&file, ACL, &list, XattrFlags::empty()).is_err() {
            println!("the file system has no access control lists");
            return;
        }
        export();
        assert_eq!((acl(&file), mode(&file)), (Some(list.clone()), 0o640));

        // The folder's list is for new files, and this one takes another's place.
        setxattr(folder.path(), DEFAULT_ACL, &list, XattrFlags::empty()).expect("a list");
        fs::remove_file(&file).expect("it can go");
        export();
        assert_eq!((acl(&file), mode(&file)), (Some(list), 0o640));
        fs::remove_file(&file).expect("it can go");
        let plain = tempfile::NamedTempFile::new().expect("a file");
        fs::write(plain.path(), "earlier").expect("a file");
        set_mode(plain.path(), 0o640);
        fs::rename(plain.path(), &file).expect("it can move");
        assert_eq!(acl(&file), None);
        export();
        assert_eq!((acl(&file), mode(&file)), (None, 0o640));
    });
}

#[test]
fn a_file_that_loses_its_group_gives_no_other_group_its_rights() {
    if !geteuid().is_root() {
        return;
    }
    on_a_server(|db| {
        for (before, after) in [
            (0o660, 0o600),
            (0o646, 0o644),
            (0o606, 0o600),
            (0o664, 0o644),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            set_mode(folder.path(), 0o777);
            let file = folder.path().join("x.csv");
            fs::write(&file, "earlier").expect("a file");
            chown(&file, Some(65534), Some(12345)).expect("root may");
            set_mode(&file, before);
            let user = [
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
            ];
            let run = GoldDigger::wrapped_in(&user).env("DATABASE_URL", db.url());
            run.arg(ONE_ROW).arg("-o").arg(&file).run().wrote("");
            assert_eq!(fs::metadata(&file).expect("the file").gid(), 65534);
            assert_eq!(mode(&file), after, "{before:o}");
        }
    });
}

#[test]
fn a_manifest_has_the_permissions_of_its_file() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("x.csv");
        let manifest = folder.path().join("x.csv.manifest.json");
        let export = || {
            let run = db.export(ONE_ROW).args(["--manifest", "-o"]);
            run.arg(&file).run().wrote("")
        };
        fs::write(&file, "earlier").expect("a file");
        set_mode(&file, 0o600);
        export();
        assert_eq!((mode(&file), mode(&manifest)), (0o600, 0o600));
        set_mode(&manifest, 0o644);
        export();
        assert_eq!((mode(&file), mode(&manifest)), (0o600, 0o600));
    });
}
