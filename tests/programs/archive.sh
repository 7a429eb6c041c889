# For archives.toml: makes app.zip, with a library in it, and a program that runs the library's functions from there. In $plus and
# $mark is where these functions are in the archive.
set -e
cat > lib.c <<'END'
#include "marks.h"
struct pair { int a, b; };
__attribute__((noinline)) int plus(int a, struct pair *pair) { return a + pair->b; }
__attribute__((noinline)) int minus(int a, int b) { return a - b; }
int mark(int n) { MARK("inner", "mark", "0", "-4@%0", "r"(n)); return n; }
END
cat > run.c <<'END'
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
struct pair { int a, b; };
int main(int count, char **args)
{
    char *code = mmap(NULL, 1 << 20, PROT_READ | PROT_EXEC, MAP_PRIVATE, open(args[1], O_RDONLY), 0);
    struct pair pair = {1, 40};
    int (*plus)(int, struct pair *) = (void *)(code + strtol(args[2], NULL, 0));
    int (*mark)(int) = (void *)(code + strtol(args[3], NULL, 0));
    return plus(2, &pair) + mark(7) != 49;
}
END
cc -O1 -g -fPIC -shared -I"$(dirname "${BASH_SOURCE[0]}")" lib.c -o libx.so
cc -O1 run.c -o run
start=$(python3 - <<'END'
import struct, zipfile
with zipfile.ZipFile("app.zip", "w") as archive:
    archive.write("lib.c", "a/text")
    archive.write("libx.so", "lib/libx.so")
    archive.write("libx.so", "lib/packed.so", zipfile.ZIP_DEFLATED)
    header = archive.getinfo("lib/libx.so").header_offset
with open("app.zip", "rb") as archive:
    archive.seek(header + 26)
    print(header + 30 + sum(struct.unpack("<HH", archive.read(4))))
END
)
place() { echo $((start + 0x$(nm libx.so | awk -v name="$1" '$3 == name { print $1 }'))); }
plus=$(place plus)
mark=$(place mark)
