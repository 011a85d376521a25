"""Networks: which there are, addresses, bridges, packet filter, published ports, names."""
