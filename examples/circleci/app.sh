#!/bin/sh
cat built-on
for file in vendor/*/version; do
    echo "$file $(cat "$file")"
done
