#!/bin/sh
# In place of rustc: pgrx takes the bindings that it carries instead of making them from a server's headers.
rustc="$1"
shift
case " $* " in
*" --crate-name pgrx_pg_sys "*) set -- "$@" --cfg docsrs ;;
esac
exec "$rustc" "$@"
