"""What a script does that makes guests on an image by libvirt, beside which creates are measured:
python plain_creates.py URI PARALLEL DEFINITION IMAGE NAME ..., which begins with the first line it
is told. In the file DEFINITION @name@ and @disk@ stand for what is each guest's own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local

import libvirt

_VOLUME = """<volume><name>{name}.qcow2</name><capacity>{size}</capacity><allocation>0</allocation>
<target><format type='qcow2'/><compat>1.1</compat></target>
<backingStore><path>{image}</path><format type='qcow2'/></backingStore></volume>"""


def main(uri: str, parallel: int, definition: str, image: str, names: Sequence[str]) -> None:
    of_thread = local()

    def connect() -> None:
        of_thread.conn = libvirt.open(uri)

    def make(name: str) -> None:
        conn = of_thread.conn
        base = conn.storageVolLookupByPath(image)
        pool = base.storagePoolLookupByVolume()
        xml = _VOLUME.format(name=name, size=base.info()[1], image=image)
        disk = pool.createXML(xml, 0)
        filled = definition.replace("@name@", name).replace("@disk@", disk.path())
        conn.defineXML(filled).createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)

    with ThreadPoolExecutor(parallel, initializer=connect) as pool:
        list(pool.map(len, names))  # its threads are there, and connected
        print("ready", flush=True)
        sys.stdin.readline()
        list(pool.map(make, names))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]).read_text(), sys.argv[4], sys.argv[5:])
