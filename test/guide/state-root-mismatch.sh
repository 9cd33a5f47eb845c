# "State root mismatch after recovery" of the recovery guide, with the lines of the guide.

# Try previous snapshot
./ailee_extract_snapshots /var/lib/ailee/l2_snapshots.dat /tmp/snapshots/

# Find last valid snapshot
for i in $(seq 10 -1 1); do
    snapshot="/tmp/snapshots/snapshot_${i}.dat"
    if ./ailee_l2_verify --snapshot "$snapshot" > /dev/null 2>&1; then
        echo "Found valid snapshot: $snapshot"
        cp "$snapshot" /var/lib/ailee/l2_snapshots.dat
        break
    fi
done

# Restart node
sudo systemctl restart ailee-node
