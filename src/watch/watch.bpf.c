// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0
// The eBPF programs of `txpath watch`: one for each point of point.h, on BTF tracepoints (tp_btf)
// and, where the kernel allows that, on functions' entries (fentry). They only read.
//
// Order in each: what is cheap (namespace, device, mark), whose packet it is, the pcap filter; then
// times, counts, and last the event.
//
// Identity. A packet is known by the address of its buffer (skb->head), which its clones share. Its
// record lies in a table of slots, by that address; two packets that fall together cost the elder
// one its identity, nothing else. What is not known yet belongs to the call that its task is in
// (fragments of one datagram), or to the packet that this CPU held just before (segments of one
// GSO packet), else it is a new packet.
#include <stdbool.h>

#include "kernel.bpf.h"
// After the kernel's types.
#include "event.h"
#include "point.h"

char LICENSE[] SEC("license") = "GPL";

const volatile struct txp_watch_config cfg = {};

#include "maps.bpf.h"
#include "packet.bpf.h"
// The programs.
#include "device.bpf.h"
#include "socket.bpf.h"
// After on_socket().
#include "function.bpf.h"
