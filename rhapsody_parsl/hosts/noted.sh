#!/bin/sh
# Stands before a program that is started for a run, on whichever host: `noted.sh PREFIX PROGRAM...`.
# Writes which process this is where the host's memory watch looks. The program keeps the number and the start time.
{ read -r stat </proc/$$/stat && echo "$stat" >"$1.$$.noted"; } 2>/dev/null
shift
exec "$@"
