#!/usr/bin/env bash
# The runs that docs/EXAMPLE.md shows: a tar of /usr and an SQLite database, sealed and opened in place, and sealing
# against cp + sync of the same file. Usage: scripts/example.sh [FOLDER], with about 6 GiB free there.
set -euo pipefail
here="$(cd "$(dirname "$0")/.." && pwd)"
pageseal="${PAGESEAL:-$here/target/release/pageseal}"
work="$(mktemp -d "${1:-/var/tmp}/pageseal-example.XXXXXX")"
trap 'rm -rf "$work"' EXIT
cd "$work"

run() { printf '$ %s\n' "$*" | sed "s|$pageseal|pageseal|"; "$@"; }
seconds() { local start; start=$(date +%s.%N); "$@" >/dev/null 2>&1; echo "$start $(date +%s.%N)" | awk '{printf "%.2f\n", $2-$1}'; }
median() { sort -n | awk '{v[NR]=$1} END {print (NR%2) ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2}'; }

"$pageseal" keygen -o key.txt >/dev/null 2>&1
recipient=$(grep -o 'age1[a-z0-9]*' key.txt)

echo "== a tar of /usr"
tar -C / -cf usr.tar usr 2>/dev/null || true
stat -c '%n: %s bytes' usr.tar
before=$(sha256sum < usr.tar)
run "$pageseal" encrypt -r "$recipient" usr.tar
run "$pageseal" verify -i key.txt usr.tar.sealed
run "$pageseal" decrypt -i key.txt usr.tar.sealed
[ "$before" = "$(sha256sum < usr.tar)" ] && echo "SHA-256 is the same"
run tar -tf usr.tar > list.txt
echo "tar lists $(wc -l < list.txt) entries"

echo "== an SQLite database"
sqlite3 log.db "PRAGMA journal_mode=DELETE; CREATE TABLE log(id INTEGER PRIMARY KEY, at TEXT, line BLOB);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 220000)
  INSERT INTO log SELECT i, datetime(1700000000+i,'unixepoch'), randomblob(1000) FROM n;
  CREATE INDEX by_time ON log(at);" >/dev/null
stat -c '%n: %s bytes' log.db
before=$(sha256sum < log.db)
run "$pageseal" encrypt -r "$recipient" log.db
sqlite3 log.db.sealed 'PRAGMA integrity_check' 2>&1 | head -1 || true
run "$pageseal" decrypt -i key.txt log.db.sealed
run sqlite3 log.db 'PRAGMA integrity_check'
run sqlite3 log.db 'SELECT count(*), max(at) FROM log'
[ "$before" = "$(sha256sum < log.db)" ] && echo "SHA-256 is the same"

echo "== sealing usr.tar in place against cp + sync of it, alternating"
: > in_place; : > copied; : > opened; : > floor
cat usr.tar > /dev/null
for _ in 1 2 3 4 5; do
    sync; seconds "$pageseal" encrypt -r "$recipient" usr.tar >> in_place
    sync; seconds "$pageseal" decrypt -i key.txt usr.tar.sealed >> opened
    sync; seconds sh -c 'cp usr.tar copy && sync copy' >> copied; rm -f copy
    sync; seconds dd if=usr.tar of=usr.tar conv=notrunc,fdatasync bs=4M >> floor
done
echo "encrypt, in place, durable: $(tr '\n' ' ' < in_place) s, median $(median < in_place)"
echo "decrypt, in place, durable: $(tr '\n' ' ' < opened) s, median $(median < opened)"
echo "cp + sync:                  $(tr '\n' ' ' < copied) s, median $(median < copied)"
echo "dd over itself + fdatasync: $(tr '\n' ' ' < floor) s, median $(median < floor)"
