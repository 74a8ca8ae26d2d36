# Finds or installs the database servers that the demo and the tests start.
# Sourced by scripts/demo and scripts/test; starts nothing itself.
#
#   need_rust                       checks for cargo, and for a C compiler to link with
#   need_tools COMMAND:PACKAGE...   installs what is missing (as root)
#   free_port                       prints one
#   need_mariadb                    sets MARIADBD
#   need_mysql                      sets MYSQLD: Oracle MySQL, which Debian has
#                                   only in its unstable suite, unpacked into a
#                                   cache folder and run from there
#
# GOLD_DIGGER_MARIADBD and GOLD_DIGGER_MYSQLD name server programs of your own.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/gold_digger

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# apt's own lists may be missing or old on a fresh machine.
apt_install() {
    [ "$(id -u)" = 0 ] || die "missing: $*; install them with: sudo apt-get install $*"
    say "installing $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1 && return
    apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends "$@" >/dev/null ||
        die "apt-get could not install $*"
}

need_tools() {
    local entry missing=()
    for entry in "$@"; do
        # Not `command -v` alone: it knows shell keywords such as `time`, too.
        [ -x "$(command -v "${entry%%:*}")" ] || missing+=("${entry##*:}")
    done
    [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

need_rust() {
    command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
    command -v cargo >/dev/null || die "no cargo; install Rust, for example with rustup"
    # Rust links with the C compiler and the C library's start files.
    cc -x c -o /dev/null - <<<'int main(void) { return 0; }' 2>/dev/null || apt_install gcc libc6-dev
}

# A port of the loopback address that nobody listens on.
free_port() {
    local port
    while port=$((20000 + RANDOM % 20000)); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}

# The server packages put mariadbd into sbin, which users may not have in PATH.
need_mariadb() {
    PATH=$PATH:/usr/sbin:/usr/local/sbin
    [ -n "${GOLD_DIGGER_MARIADBD:-}" ] || need_tools mariadbd:mariadb-server-core
    need_tools mariadb-install-db:mariadb-server-core mariadb:mariadb-client-core
    MARIADBD=${GOLD_DIGGER_MARIADBD:-$(command -v mariadbd)}
    "$MARIADBD" --version >&2 || die "$MARIADBD does not run"
}

need_mysql() {
    MYSQLD=${GOLD_DIGGER_MYSQLD:-$cache/mysql/mysqld}
    [ -x "$MYSQLD" ] || unpack_mysql
    "$MYSQLD" --version >&2 || die "$MYSQLD does not run; remove $cache/mysql and try again"
}

# Downloads mysql-server-core with all its libraries by an apt of our own (own
# lists, own idea of what is installed), which needs no root and leaves the
# machine's packages alone, and unpacks it beside a wrapper that starts it with
# its own loader and libraries.
unpack_mysql() {
    [ -z "${GOLD_DIGGER_MYSQLD:-}" ] || die "GOLD_DIGGER_MYSQLD=$GOLD_DIGGER_MYSQLD is not a program"
    command -v apt-get >/dev/null || die "no apt-get to fetch MySQL with; set GOLD_DIGGER_MYSQLD to a mysqld"
    local apt=$cache/apt root=$cache/mysql.new archive deb lib loader
    archive=$(debian_archive)
    say "fetching Oracle MySQL from Debian's unstable suite into $cache (once)"
    rm -rf "$apt" "$root" "$cache/mysql"
    mkdir -p "$apt"/{etc/preferences.d,etc/sources.list.d,lists/partial,archives/partial} "$root"
    : >"$apt/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive sid main" >"$apt/etc/sources.list"
    cat >"$apt/apt.conf" <<CONF
Dir::Etc "$apt/etc";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
CONF
    export APT_CONFIG=$apt/apt.conf
    apt-get update -q >"$apt/log" 2>&1 &&
        apt-get install -y -q --download-only --no-install-recommends mysql-server-core >>"$apt/log" 2>&1 ||
        { tail -5 "$apt/log" >&2; die "MySQL could not be downloaded; set GOLD_DIGGER_MYSQLD to a mysqld"; }
    unset APT_CONFIG
    for deb in "$apt"/archives/*.deb; do
        dpkg -x "$deb" "$root"
    done
    mv "$root" "$cache/mysql"
    rm -rf "$apt"
    root=$cache/mysql
    lib=$(dirname "$(find "$root/usr/lib" -name 'libprotobuf-lite.so*' | head -n 1)")
    loader=$(find "$root/usr/lib64" "$lib" -name 'ld-linux*.so*' 2>/dev/null | head -n 1)
    [ -n "$loader" ] || die "no loader among MySQL's packages in $root"
    cat >"$root/mysqld.new" <<WRAPPER
#!/bin/sh
# --no-defaults must come first, so the folders come behind it.
first=
case \$1 in --no-defaults) first=\$1; shift ;; esac
exec "$loader" --library-path "$lib" "$root/usr/sbin/mysqld" \$first --basedir="$root/usr" \\
    --lc-messages-dir="$root/usr/share/mysql" --character-sets-dir="$root/usr/share/mysql/charsets" \\
    --plugin-dir="$root/usr/lib/mysql/plugin" "\$@"
WRAPPER
    chmod +x "$root/mysqld.new"
    # The wrapper's name appears last: it stands for a complete folder.
    mv "$root/mysqld.new" "$root/mysqld"
}

# The archive that this machine's own sources name.
debian_archive() {
    local sources found
    # Cloud images name a file that lists the mirrors.
    sources=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources \
        /etc/apt/mirrors/debian.list 2>/dev/null)
    found=$(grep -oE 'https?://[^] ]+/debian/?([ ]|$)' <<<"$sources" | grep -v security | head -n 1)
    [ -n "$found" ] || die "no Debian archive in /etc/apt; set GOLD_DIGGER_MYSQLD to a mysqld"
    echo "${found% }"
}
