# Finds or installs the database servers that the demo, the tests and the
# benchmark need, and starts private ones. Sourced by the other scripts; does
# nothing by itself.
#
#   need_rust                       checks for cargo, and for a C compiler to link with
#   need_tools COMMAND:PACKAGE...   installs what is missing (as root)
#   need_preload LIBRARY PACKAGE    installs it if it is missing (as root)
#   free_port                       prints one
#   need_mariadb                    sets MARIADBD
#   need_mariadb_plugin FILE        sets it to one that can load FILE
#   need_mysql                      sets MYSQLD: Oracle MySQL, which Debian has
#                                   only in its unstable suite, unpacked into a
#                                   cache folder and run from there
#   need_new_mariadb                sets NEW_MARIADBD: a MariaDB that has PARSEC
#                                   and makes its own certificate, from there too
#   need_pymysql                    sets PYTHON
#   need_loaders                    sets LOADERS_PYTHON, which also has DuckDB,
#                                   ClickHouse (chDB) and other readers, from PyPI
#   need_spark                      sets SPARK, a folder of Python modules with
#                                   Spark, from PyPI; "none" where there is no Java
#   need_postgres                   sets POSTGRES, the folder of its programs
#   need_sqlite                     sets SQLITE, 3.41 or later, which has unhex()
#   need_all_for_tests              all of these, exported for the tests
#   use_temporary_folder            sets folder; cleans up at the script's end
#   start_server KIND FOLDER        a private mariadb or mysql
#   stop_servers                    ends all that were started
#
# GOLD_DIGGER_MARIADBD, GOLD_DIGGER_MYSQLD, GOLD_DIGGER_NEW_MARIADBD and
# GOLD_DIGGER_SQLITE name programs of your own, GOLD_DIGGER_POSTGRES a folder of
# them, GOLD_DIGGER_LOADERS_PYTHON a Python with these modules, and
# GOLD_DIGGER_SPARK a folder with pyspark, or "none" to test without Spark.

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

# need_preload LIBRARY PACKAGE: for programs that run with LIBRARY before their own.
need_preload() {
    # A program, not the shell's builtin of that name, which loads nothing.
    [ -z "$(LD_PRELOAD=$1 /bin/true 2>&1)" ] || apt_install "$2"
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

servers=()

new_password() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

# Sets folder to a new temporary one. However the script ends, the servers that
# it started are stopped then, and the folder is removed.
use_temporary_folder() {
    folder=$(mktemp -d)
    trap 'stop_servers; rm -rf "$folder"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# start_server KIND FOLDER [OPTION...]: starts a mariadb or mysql that keeps all
# its data in FOLDER, listens on the loopback address and on the socket FOLDER/s
# and runs FOLDER/init.sql, if there, and sets port. Only root gets in, by the
# password in FOLDER/client.cnf, and the accounts that init.sql makes.
start_server() {
    local kind=$1 folder=$2 account=() options=() program password
    shift 2
    [ "$(id -u)" != 0 ] || account=(--user=root)
    mkdir "$folder/data"
    if [ "$kind" = mariadb ]; then
        program=$MARIADBD
        mariadb-install-db --no-defaults "${account[@]}" --datadir="$folder/data" \
            --auth-root-authentication-method=normal --skip-test-db >"$folder/log" 2>&1
    else
        # Debian's MySQL does not start without a folder that its package makes.
        program=$MYSQLD options=(--mysqlx=OFF --secure-file-priv=)
        "$program" --no-defaults "${account[@]}" --datadir="$folder/data" --initialize-insecure >"$folder/log" 2>&1
    fi || { cat "$folder/log" >&2; die "$kind could not be set up"; }
    password=$(new_password)
    (umask 077
        { echo "ALTER USER root@localhost IDENTIFIED BY '$password';"; cat "$folder/init.sql" 2>/dev/null || true; } >"$folder/setup.sql"
        printf '[client]\nsocket=%s\nuser=root\npassword=%s\n' "$folder/s" "$password" >"$folder/client.cnf")
    port=$(free_port)
    "$program" --no-defaults "${account[@]}" --datadir="$folder/data" --socket="$folder/s" --pid-file="$folder/pid" --tmpdir="$folder" \
        --bind-address=127.0.0.1 --port="$port" --init-file="$folder/setup.sql" --skip-log-bin \
        --innodb-flush-log-at-trx-commit=0 "${options[@]}" "$@" >>"$folder/log" 2>&1 &
    servers+=($!)
    for _ in $(seq 600); do
        ! root_client "$folder" -e 'SELECT 1' >/dev/null 2>&1 || return 0
        kill -0 $! 2>/dev/null || break
        sleep 0.1
    done
    cat "$folder/log" >&2
    die "$kind did not start"
}

# root_client FOLDER [ARGUMENT...]: the client of the server in FOLDER.
root_client() {
    local folder=$1
    shift
    mariadb --defaults-file="$folder/client.cnf" --default-character-set=utf8mb4 "$@"
}

stop_servers() {
    local server
    for server in "${servers[@]}"; do
        { kill "$server" && wait "$server"; } 2>/dev/null || true
    done
}

# Debian's own Python, whose PyMySQL is a package; sets PYTHON.
need_pymysql() {
    PYTHON=/usr/bin/python3
    "$PYTHON" -c 'import pymysql' 2>/dev/null || apt_install python3 python3-pymysql
}

# The modules are big and not in Debian; they go into an environment of their own,
# whose name changes with their versions.
need_loaders() {
    local root=$cache/python modules="duckdb==2.0.1 chdb-core==26.9.0 et-xmlfile==2.0.0 openpyxl==3.1.5 polars==2.1.0 polars-runtime-32==2.1.0 pyarrow==26.0.1 pymysql==1.1.1" name
    [ -z "${GOLD_DIGGER_LOADERS_PYTHON:-}" ] || { LOADERS_PYTHON=$GOLD_DIGGER_LOADERS_PYTHON; return; }
    name=$(tr -c 'a-z0-9.\n' - <<<"$modules")
    LOADERS_PYTHON=$root/$name/bin/python
    [ ! -e "$root/$name/complete" ] || return 0
    /usr/bin/python3 -c 'import ensurepip' 2>/dev/null || apt_install python3 python3-venv
    say "fetching DuckDB, ClickHouse (chDB), openpyxl, Polars and PyArrow from PyPI into $cache (about 320 MB, once)"
    rm -rf "$root"
    mkdir -p "$root"
    /usr/bin/python3 -m venv "$root/$name" &&
        # Without what chDB needs for data frames.
        "$root/$name/bin/pip" install -q --no-deps --only-binary :all: $modules >"$root/log" 2>&1 ||
        { tail -5 "$root/log" >&2; die "pip could not install $modules; GOLD_DIGGER_LOADERS_PYTHON names a Python that has them"; }
    touch "$root/$name/complete"
}

# Spark runs in Java, and is large: it is tried where a Java is already there.
need_spark() {
    local root=$cache/spark modules="pyspark==4.3.0 py4j==0.10.9.9"
    [ -z "${GOLD_DIGGER_SPARK:-}" ] || { SPARK=$GOLD_DIGGER_SPARK; return; }
    command -v java >/dev/null || { say "no java: Spark does not read the Parquet files of the tests"; SPARK=none; return; }
    SPARK=$root/${modules// /-}
    [ ! -e "$SPARK/complete" ] || return 0
    say "fetching Spark from PyPI into $cache (about 460 MB, once)"
    rm -rf "$root"
    mkdir -p "$root"
    "$LOADERS_PYTHON" -m pip install -q --no-deps --target "$SPARK" $modules >"$root/log" 2>&1 ||
        { tail -5 "$root/log" >&2; die "pip could not install $modules; GOLD_DIGGER_SPARK=none tests without it"; }
    touch "$SPARK/complete"
}

# Debian's package would start a server of the machine's own. It asks its
# configuration first.
need_postgres() {
    local found no_cluster=/etc/postgresql-common/createcluster.d/gold_digger.conf
    [ -z "${GOLD_DIGGER_POSTGRES:-}" ] || { POSTGRES=$GOLD_DIGGER_POSTGRES; return; }
    find_postgres() { found=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1); }
    find_postgres
    if [ ! -x "$found" ]; then
        if [ "$(id -u)" = 0 ]; then
            mkdir -p "${no_cluster%/*}"
            echo 'create_main_cluster = false' >"$no_cluster"
        fi
        apt_install postgresql
        rm -f "$no_cluster"
        find_postgres
    fi
    POSTGRES=${found%/*}
    "$POSTGRES/postgres" --version >&2 || die "$POSTGRES/postgres does not run"
}

# Debian's stable suite has 3.40, which cannot read hexadecimal digits.
need_sqlite() {
    SQLITE=${GOLD_DIGGER_SQLITE:-$cache/sqlite/sqlite3}
    [ -x "$SQLITE" ] || unpack_unstable sqlite sqlite3 usr/bin/sqlite3
    "$SQLITE" --version >&2 || die "$SQLITE does not run; remove $cache/sqlite and try again"
}

need_all_for_tests() {
    need_tools jq:jq /usr/bin/time:time mkfifo:coreutils openssl:openssl faketime:faketime setpriv:util-linux \
        gzip:gzip lz4:lz4 zstd:zstd soffice:libreoffice-calc
    need_preload libnss_wrapper.so libnss-wrapper
    need_mariadb
    need_mariadb_plugin auth_ed25519.so
    need_mysql
    need_new_mariadb
    need_pymysql
    need_loaders
    need_spark
    need_postgres
    need_sqlite
    export GOLD_DIGGER_PYTHON=$PYTHON GOLD_DIGGER_LOADERS_PYTHON=$LOADERS_PYTHON
    export GOLD_DIGGER_SPARK=$SPARK GOLD_DIGGER_POSTGRES=$POSTGRES GOLD_DIGGER_SQLITE=$SQLITE
    export GOLD_DIGGER_MARIADBD=$MARIADBD GOLD_DIGGER_MYSQLD=$MYSQLD GOLD_DIGGER_NEW_MARIADBD=$NEW_MARIADBD
}

# The server packages put mariadbd into sbin, which users may not have in PATH.
need_mariadb() {
    PATH=$PATH:/usr/sbin:/usr/local/sbin
    [ -n "${GOLD_DIGGER_MARIADBD:-}" ] || need_tools mariadbd:mariadb-server-core
    need_tools mariadb-install-db:mariadb-server-core mariadb:mariadb-client-core
    MARIADBD=${GOLD_DIGGER_MARIADBD:-$(command -v mariadbd)}
    "$MARIADBD" --version >&2 || die "$MARIADBD does not run"
}

# need_mariadb_plugin FILE: Debian has the server's plugins in mariadb-server,
# whose installation would start a server of the machine's own. So FILE is taken
# out of that package, and MARIADBD becomes a wrapper that finds it there.
need_mariadb_plugin() {
    local plugins root=$cache/mariadb version deb
    plugins=$("$MARIADBD" --no-defaults --verbose --help 2>/dev/null | awk '$1 == "plugin-dir" { print $2 }')
    [ ! -e "$plugins/$1" ] || return 0
    [ -z "${GOLD_DIGGER_MARIADBD:-}" ] || die "GOLD_DIGGER_MARIADBD=$MARIADBD has no plugin $1 in $plugins"
    version=$(dpkg-query --show --showformat '${Version}' mariadb-server-core) || die "$1 is missing in $plugins"
    if [ ! -x "$root/$version/mariadbd" ]; then
        say "fetching $1 of mariadb-server $version into $cache (once)"
        rm -rf "$root"
        mkdir -p "$root/$version"
        (cd "$root" && apt-get download -q "mariadb-server=$version" >"$root/log" 2>&1) ||
            { tail -5 "$root/log" >&2; die "mariadb-server $version could not be downloaded; install it with: sudo apt-get install mariadb-server"; }
        for deb in "$root"/*.deb; do
            dpkg -x "$deb" "$root/$version"
        done
        rm "$root"/*.deb
        cat >"$root/$version/mariadbd.new" <<WRAPPER
#!/bin/sh
first=
case \$1 in --no-defaults) first=\$1; shift ;; esac
exec '$MARIADBD' \$first --plugin-dir='$root/$version/usr/lib/mysql/plugin' "\$@"
WRAPPER
        chmod +x "$root/$version/mariadbd.new"
        mv "$root/$version/mariadbd.new" "$root/$version/mariadbd"
    fi
    MARIADBD=$root/$version/mariadbd
    [ -e "$root/$version/usr/lib/mysql/plugin/$1" ] || die "mariadb-server $version has no $1"
}

need_mysql() {
    MYSQLD=${GOLD_DIGGER_MYSQLD:-$cache/mysql/mysqld}
    [ -z "${GOLD_DIGGER_MYSQLD:-}" ] || [ -x "$MYSQLD" ] || die "GOLD_DIGGER_MYSQLD=$MYSQLD is not a program"
    # --no-defaults must come first, so the folders come behind it.
    [ -x "$MYSQLD" ] || unpack_unstable mysql mysql-server-core usr/sbin/mysqld '
first=
case $1 in --no-defaults) first=$1; shift ;; esac
set -- $first --basedir="$root/usr" --lc-messages-dir="$root/usr/share/mysql" \
    --character-sets-dir="$root/usr/share/mysql/charsets" --plugin-dir="$root/usr/lib/mysql/plugin" "$@"'
    "$MYSQLD" --version >&2 || die "$MYSQLD does not run; remove $cache/mysql and try again"
}

# PARSEC came with MariaDB 11.6. Its plugins are in another package than the
# server, whose other parts are not needed.
need_new_mariadb() {
    NEW_MARIADBD=${GOLD_DIGGER_NEW_MARIADBD:-$cache/new-mariadb/mariadbd}
    [ -z "${GOLD_DIGGER_NEW_MARIADBD:-}" ] || [ -x "$NEW_MARIADBD" ] || die "GOLD_DIGGER_NEW_MARIADBD=$NEW_MARIADBD is not a program"
    [ -x "$NEW_MARIADBD" ] || unpack_unstable new-mariadb mariadb-server-core usr/sbin/mariadbd '
first=
case $1 in --no-defaults) first=$1; shift ;; esac
set -- $first --lc-messages-dir="$root/usr/share/mysql" \
    --character-sets-dir="$root/usr/share/mysql/charsets" --plugin-dir="$root/usr/lib/mysql/plugin" "$@"' mariadb-server
    "$NEW_MARIADBD" --version >&2 || die "$NEW_MARIADBD does not run; remove $cache/new-mariadb and try again"
}

# unpack_unstable FOLDER PACKAGE PROGRAM [SHELL [ALONE]]: makes
# $cache/FOLDER/NAME, which runs PROGRAM of Debian's unstable suite. Downloads
# the package with all its libraries, and the package ALONE without any, by an
# apt of our own (own lists, own idea of what is installed), which needs no root
# and leaves the machine's packages alone, and unpacks it beside a wrapper that
# starts it with its own loader and libraries. The wrapper runs SHELL first.
unpack_unstable() {
    local apt=$cache/apt root=$cache/$1.new name=${3##*/} archive deb lib loader cure=
    case $1 in
        mysql) cure="; GOLD_DIGGER_MYSQLD names a mysqld of your own" ;;
        new-mariadb) cure="; GOLD_DIGGER_NEW_MARIADBD names a mariadbd of your own, 11.6 or later" ;;
        sqlite) cure="; GOLD_DIGGER_SQLITE names a sqlite3 of your own, 3.41 or later" ;;
    esac
    command -v apt-get >/dev/null || die "no apt-get to fetch $2 with$cure"
    archive=$(debian_archive)
    say "fetching $2 from Debian's unstable suite into $cache (once)"
    rm -rf "$apt" "$root" "${cache:?}/$1"
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
        apt-get install -y -q --download-only --no-install-recommends "$2" >>"$apt/log" 2>&1 &&
        { [ -z "${5:-}" ] || (cd "$apt/archives" && apt-get download -q "$5" >>"$apt/log" 2>&1); } ||
        { tail -5 "$apt/log" >&2; die "$2 could not be downloaded$cure"; }
    unset APT_CONFIG
    for deb in "$apt"/archives/*.deb; do
        dpkg -x "$deb" "$root"
    done
    mv "$root" "$cache/$1"
    rm -rf "$apt"
    root=$cache/$1
    lib=$(dirname "$(find "$root/usr/lib" -name 'libc.so.6' | head -n 1)")
    loader=$(find "$root/usr/lib64" "$lib" -name 'ld-linux*.so*' 2>/dev/null | head -n 1)
    [ -n "$loader" ] || die "no loader among the packages in $root"
    cat >"$root/$name.new" <<WRAPPER
#!/bin/sh
root='$root'${4:-}
exec '$loader' --library-path '$lib' '$root/$3' "\$@"
WRAPPER
    chmod +x "$root/$name.new"
    # The wrapper's name appears last: it stands for a complete folder.
    mv "$root/$name.new" "$root/$name"
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
