#!/bin/sh
# Stands in for the host in tests: keeps its promises on stdout and on SIGTERM, and nothing else.
# In the data directory: `stdout` holds the lines to print before `ready`; `fail` makes it fail;
# `stubborn` makes it end at the second SIGTERM only, and then at once.
while [ $# -gt 0 ]; do
    if [ "$1" = --data ]; then data=$2; fi
    shift
done
end() {
    if [ -e "$data/stubborn" ]; then
        trap 'kill $!; exit 143' TERM
        rm "$data/stubborn"
        wait
    fi
    kill $!
    echo drained >&2
    exit 0
}
trap end TERM
if [ -e "$data/fail" ]; then
    echo "the store is broken" >&2
    exit 3
fi
cat "$data/stdout"
sleep 60 >/dev/null 2>&1 &
echo ready
wait
