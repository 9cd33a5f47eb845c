# /etc/cron.daily/ailee-monitor
#!/bin/bash
SNAPSHOT_SIZE=$(stat -c%s /var/lib/ailee/l2_snapshots.dat)
SNAPSHOT_SIZE_MB=$((SNAPSHOT_SIZE / 1024 / 1024))

if [ $SNAPSHOT_SIZE_MB -gt 5000 ]; then
    echo "Warning: Snapshot file is ${SNAPSHOT_SIZE_MB}MB - consider pruning"
fi

# Check reorg DB size
REORG_SIZE=$(du -sm /var/lib/ailee/reorg_db | cut -f1)
if [ $REORG_SIZE -gt 1000 ]; then
    echo "Warning: Reorg DB is ${REORG_SIZE}MB - consider pruning"
fi
