"""A lab of real KVM hosts on one Linux machine: network namespaces, libvirtd, QEMU guests."""
