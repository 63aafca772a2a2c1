#!/bin/sh
# A sudo for tests; see sudo.go. It reads a password byte by byte, as the real one does, and no further.
here=$0
log=$(cat "$here.log")
if [ -n "$log" ]; then { echo "arguments: $*"; env; } >>"$log"; fi
never= stdin=
while [ $# -gt 0 ]; do
  case $1 in
    -n) never=yes ;;
    -S) stdin=yes ;;
    -k) ;;
    -p) shift ;;
    --) shift; break ;;
    *) break ;;
  esac
  shift
done
password=$(cat "$here.password")
tries=0
while [ -n "$password" ]; do
  if [ -n "$never" ] || [ -z "$stdin" ]; then echo 'sudo: a password is required' >&2; exit 1; fi
  if ! IFS= read -r given; then
    echo 'sudo: no password was provided' >&2
    if [ $tries = 0 ]; then echo 'sudo: a password is required' >&2; else echo "sudo: $tries incorrect password attempt" >&2; fi
    exit 1
  fi
  [ "$given" = "$password" ] && break
  tries=$((tries + 1))
  if [ $tries = 3 ]; then echo 'sudo: 3 incorrect password attempts' >&2; exit 1; fi
  echo 'Sorry, try again.' >&2
done
if [ -e "$here.refuse" ]; then echo 'ops is not in the sudoers file.' >&2; exit 1; fi
exec "$@"
