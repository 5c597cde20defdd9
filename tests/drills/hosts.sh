#!/usr/bin/env bash
# Hosts on one machine, for drills: each has its own network, processes, name, /tmp and /dev/shm. Needs root.
#
#   hosts.sh up N            host I answers at 10.78.0.I
#   hosts.sh in I COMMAND    run a command there
#   hosts.sh hide I FOLDER   an empty folder in its place there
#   hosts.sh cable I down|up its cable is pulled, or put back
#   hosts.sh kill I          all of its processes at once, as when its power goes
#   hosts.sh down            the end of what `up` made
set -eu
state=${HOSTS_STATE:-/run/harness-hosts}
mkdir -p "$state"
there() { nsenter -t "$(cat "$state/$1")" -n -m -u -i -p "${@:2}"; }

case $1 in
up)
  setsid unshare -n sleep infinity & echo $! > "$state/hub"
  sleep 0.3
  hub=$(cat "$state/hub")
  nsenter -t "$hub" -n sh -c "ip link add br0 type bridge && ip link set br0 up"
  for i in $(seq "$2"); do
    setsid unshare -n -m -u -i -p --fork --mount-proc --kill-child --propagation private sleep infinity 2> /dev/null & parent=$!
    sleep 0.5
    pgrep -P "$parent" > "$state/$i" # process 1 of the host: with it all others end
    nsenter -t "$hub" -n ip link add "v$i" type veth peer name eth0 netns "$(cat "$state/$i")"
    nsenter -t "$hub" -n ip link set "v$i" master br0 up
    there "$i" sh -c "ip link set lo up; ip addr add 10.78.0.$i/24 dev eth0; ip link set eth0 up; hostname host$i
      ip route add default dev eth0; mount -t tmpfs none /tmp; mount -t tmpfs none /dev/shm"
  done ;;
in) there "${@:2}" ;;
hide) there "$2" mount -t tmpfs none "$3" ;;
cable) nsenter -t "$(cat "$state/hub")" -n ip link set "v$2" "$3" ;;
kill) kill -9 "$(cat "$state/$2")" ;;
down)
  for one in "$state"/*; do kill -9 "$(cat "$one")" 2>/dev/null || true; rm "$one"; done ;;
esac
