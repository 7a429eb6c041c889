# For namespaces.toml: a process ($other) in a mount namespace of its own, with a program and a library that are only there, and a
# linker's cache that knows the library.
set -e
cat > libonly.c <<'END'
#include "marks.h"
int only_work(int n) { MARK("only", "mark", "0", "-4@%0", "r"(n)); return n + 1; }
END
cat > only.c <<'END'
#include <unistd.h>
int only_work(int n);
__attribute__((noinline)) int only_main(int n) { return only_work(n) + 1; }
int main(void)
{
    for (;; usleep(10000))
        only_main(5);
}
END
cc -g -fPIC -shared -I"$(dirname "${BASH_SOURCE[0]}")" -Wl,-soname,libonly.so libonly.c -o libonly.so
cc -g only.c -o only -L. -lonly
mkdir place
unshare --mount bash -e -c '
    mount -t tmpfs tmpfs place
    mv only libonly.so place
    if [ -d /var/cache/ldconfig ]; then mount -t tmpfs tmpfs /var/cache/ldconfig; fi
    ldconfig -X -C "$PWD/place/cache" "$PWD/place"
    mount --bind place/cache /etc/ld.so.cache
    exec place/only' &
other=$!
trap 'kill $other; wait' EXIT
until [[ $(readlink /proc/$other/exe) == */only ]]; do sleep 0.01; done
