// SPDX-License-Identifier: Apache-2.0
// Everything that the library offers.
#pragma once

#include "txpath/address.h"
#include "txpath/net.h"
#include "txpath/result.h"
#include "txpath/udp_socket.h"
