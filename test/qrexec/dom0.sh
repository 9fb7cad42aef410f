#!/bin/sh
# The tools of dom0 that rulecast-dom0 and the documents call, as far as a caller sees them; which one is the name of the link that leads
# here. $DOM0 (/run/dom0) has a folder for each qube, with a file for each feature, and `tags`, with a line `QUBE TAG` for each tag.
#
# What is run in a qube is run here, or given to the program `answers` in the folder of that qube. A qube that starts gets its services,
# in $SERVICES (/run/qubes-service); `running` in its folder says that it runs. Each change is a line in `log`; where `limit` has a number, the caller is
# killed before it makes one more.
set -eu
dom0=${DOM0:-/run/dom0} services=${SERVICES:-/run/qubes-service} tool=${0##*/}
touch "$dom0/tags" "$dom0/log"

log() {
  if [ -e "$dom0/limit" ] && [ "$(wc -l <"$dom0/log")" -ge "$(cat "$dom0/limit")" ]; then
    kill -9 $PPID
    exit 1
  fi
  echo "$tool $*" >>"$dom0/log"
}
start() {
  if [ -e "$dom0/$1/running" ]; then return; fi
  touch "$dom0/$1/running"
  log "$1 starts"
  if [ -e "$dom0/$1/answers" ]; then return; fi
  mkdir -p "$services"
  for service in "$dom0/$1"/service.*; do
    if [ -s "$service" ]; then touch "$services/${service##*/service.}"; fi
  done
}

until case "${1-}" in -u) shift 2; false ;; --unset) unset=yes; shift; false ;; --*) shift; false ;; esac; do :; done
qube=${1-}
case "$tool" in qvm-ls) ;; *) [ -d "$dom0/$qube" ] || { echo "$tool: no such domain: '$qube'" >&2; exit 1; } ;; esac
case "$tool" in
qvm-check) ;;
qvm-tags)
  case "$2" in
  list) grep -x "$qube $3" "$dom0/tags" ;;
  add) log "$@"; grep -qx "$qube $3" "$dom0/tags" || echo "$qube $3" >>"$dom0/tags" ;;
  del) log "$@"; grep -vx "$qube $3" "$dom0/tags" >"$dom0/tags.part" || true; mv "$dom0/tags.part" "$dom0/tags" ;;
  esac ;;
qvm-features)
  if [ -n "${unset-}" ]; then log --unset "$@"; rm -f "$dom0/$qube/$2"
  elif [ $# = 2 ]; then [ -e "$dom0/$qube/$2" ] && cat "$dom0/$qube/$2"
  else log "$@"; printf '%s\n' "$3" >"$dom0/$qube/$2"; fi ;;
qvm-ls)
  for tag; do sed -n "s/^\(.*\) $tag\$/\1/p" "$dom0/tags"; done | sort -u ;;
qvm-start) start "$qube" ;;
qvm-shutdown) log "$@"; rm -f "$dom0/$qube/running" ;;
qvm-run)
  start "$qube"
  if [ -e "$dom0/$qube/answers" ]; then exec "$dom0/$qube/answers" "$2"; fi
  exec sh -c "$2" ;;
esac
