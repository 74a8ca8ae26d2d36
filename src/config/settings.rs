//! The table of settings: what each is called in the configuration file, on the
//! command line, in the environment and in MySQL's option files, and which
//! values it takes.
//!
//! The command line, its help, the layers, `--dump-config` and the test of the
//! documentation are derived from this table. Code names a setting by its
//! [`Key`], which also knows the type of its values.

mod setting;
mod table;
mod validators;
mod value;

pub(crate) use self::table::keys;
pub use self::{
    setting::{Key, Kind, Setting},
    table::SETTINGS,
    value::{ListParser, Parser, Value},
};

#[cfg(test)]
mod tests {
    use std::mem;

    use super::*;

    #[test]
    fn defaults_and_aliases_are_values() {
        for setting in SETTINGS {
            let aliases = setting.aliases.iter().map(|(_, value)| *value);
            for text in aliases.chain(setting.default) {
                let parsed = setting.kind.parse(text.as_ref());
                assert!(parsed.is_ok(), "{}: {parsed:?}", setting.name);
            }
        }
    }

    #[test]
    fn settings_that_share_a_flag_have_one_kind() {
        for one in SETTINGS.iter().filter(|setting| setting.flag.is_some()) {
            for other in SETTINGS.iter().filter(|other| other.flag == one.flag) {
                let kinds = [one, other].map(|setting| mem::discriminant(&setting.kind));
                assert_eq!(kinds[0], kinds[1], "{} and {}", one.name, other.name);
            }
        }
    }
}
