#!/bin/sh
[ -n "$NGINX_ENTRYPOINT_QUIET_LOGS" ] || echo "nginx $NGINX_VERSION"
