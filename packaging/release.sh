#!/usr/bin/env bash
# `npm run release`: what others install from and how they check it, in one folder of static files for any web server.
#
#   HEAD ─git archive─▶ source                            ┐
#   checkout ─npm run package─▶ *.deb ─apt-ftparchive─▶ apt ├─▶ SHA256SUMS, each of them signed by gpg
#                               *.rpm ─createrepo_c─▶ dnf   ┘
#
# The folder is there when all of it is, and only then. All but the signatures is the same bytes for the same commit.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

usage='npm run release -- [--out FOLDER] [--key KEY] [--tag]

Makes a release of the commit that is checked out: its source, packages of this machine'\''s architecture, an apt and a dnf repository of
them, the list of libraries in them, and sums of all that, signed. packaging/README.md says how to publish and check it.

  --out FOLDER  where to (released); a release that is there goes
  --key KEY     the key of gpg that signs, as gpg --local-user takes it (git'\''s user.signingkey)
  --tag         sign a tag of git, too: v and the version

Examples:
  npm run release
  npm run release -- --key 0123456789ABCDEF0123456789ABCDEF01234567 --tag
'

fail() {
  echo "npm run release: $1" >&2
  exit "${2:-1}"
}

out=released key='' tag=''
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) printf %s "$usage" && exit ;;
    --tag) tag=yes && shift && continue ;;
    --out=* | --key=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    --out | --key) ;;
    *) fail "$1 is no option"$'\n'"$usage" 64 ;;
  esac
  [ -n "${2:-}" ] || fail "$1 needs a value" 64
  case "$1" in --out) out="$2" ;; --key) key="$2" ;; esac
  shift 2
done

# What stands in the way is found before anything is made.
missing=()
while read -r program package; do
  command -v "$program" >/dev/null || missing+=("$package")
done <<'END'
git git
gpg gnupg
apt-ftparchive apt-utils
createrepo_c createrepo-c
dh debhelper
dpkg-buildpackage dpkg-dev
rpmbuild rpm
END
[ ${#missing[@]} = 0 ] || fail "not installed: apt install ${missing[*]}"

git rev-parse --quiet --verify HEAD >/dev/null || fail 'a release is of a commit, and this is no checkout of git'
changed="$(git status --porcelain | sed -n 1,5p)"
[ -z "$changed" ] || fail "no commit has these changes, which would be in the packages and not in the source; commit or stash them:"$'\n'"$changed"
version="$(node -p 'require("./package.json").version')"
[ -z "$tag" ] || ! git rev-parse --quiet --verify "refs/tags/v$version" >/dev/null ||
  fail "the tag v$version is there: write the next version into package.json and packaging/debian/changelog"
[ ! -e "$out" ] || [ -z "$(ls -A "$out")" ] || [ -e "$out/SHA256SUMS.asc" ] ||
  fail "$out holds something else than a release: say --out and a folder of its own" 64

key="${key:-$(git config user.signingkey || true)}"
[ -n "$key" ] || fail 'which key signs? say --key, or git config user.signingkey; gpg --list-secret-keys shows yours'
owned="$(gpg --batch --with-colons --list-secret-keys "$key" 2>/dev/null | awk -F: '$1 == "sec" { first = 1 } $1 == "fpr" && first { print $10; first = 0 }' || true)"
[ "$(wc -w <<<"$owned")" = 1 ] || fail "gpg has $(wc -w <<<"$owned") secret keys for $key, and one has to sign: say its fingerprint by --key"
sign() {
  gpg --batch --yes --quiet --local-user "$key" "$@"
}
sign --detach-sign --output /dev/null /dev/null || fail "gpg does not sign by $key"

mkdir -p "$(dirname "$out")"
work="$(mktemp -d "$out.XXXXXX")"
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C.UTF-8
SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)"

git -c tar.umask=022 archive --format=tar --prefix="rulecast-$version/" HEAD | gzip -9n >"$work/rulecast-$version.tar.gz"
npm run --silent package -- --out "$work/packed" >/dev/null
mkdir "$work/apt" "$work/dnf"
mv "$work"/packed/*.deb "$work/apt"
mv "$work"/packed/*.rpm "$work/dnf"
mv "$work"/packed/*.cdx.json "$work"
rm -r "$work/packed"
gpg --batch --armor --export-options export-minimal --export "$owned" >"$work/rulecast.asc"

(
  cd "$work/apt"
  for package in *.deb; do apt-ftparchive packages "$package"; done >Packages
  date="$(date --date "@$SOURCE_DATE_EPOCH" '+%a, %d %b %Y %H:%M:%S +0000')"
  apt-ftparchive -o APT::FTPArchive::Release::Origin=Rulecast -o APT::FTPArchive::Release::Label=Rulecast \
    -o "APT::FTPArchive::Release::Date=$date" release . |
    sign --clearsign --output InRelease
  cd ../dnf
  touch --date "@$SOURCE_DATE_EPOCH" ./*.rpm
  createrepo_c --quiet --no-database --revision "$SOURCE_DATE_EPOCH" --set-timestamp-to-revision .
  sign --armor --detach-sign repodata/repomd.xml
  cd ..
  sums="$(find . -type f -printf '%P\n' | sort | xargs sha256sum)"
  echo "$sums" >SHA256SUMS
  sign --armor --detach-sign SHA256SUMS
)
[ -z "$tag" ] || git -c gpg.format=openpgp tag --sign --local-user "$key" --message "Rulecast $version" "v$version"
rm -rf "$out"
mv "$work" "$out"
echo "$out: Rulecast $version, signed by $owned${tag:+; git push origin v$version}"
