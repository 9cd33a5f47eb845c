# /etc/cron.hourly/ailee-backup
#!/bin/bash
BACKUP_DIR=/var/lib/ailee/backups
TIMESTAMP=$(date +%Y%m%d_%H%M%S)

# Backup snapshot file
cp /var/lib/ailee/l2_snapshots.dat \
   $BACKUP_DIR/l2_snapshots_$TIMESTAMP.dat.bak

# Keep only last 24 backups
ls -t $BACKUP_DIR/l2_snapshots_*.dat.bak | tail -n +25 | xargs rm -f

# Backup reorg database
tar -czf $BACKUP_DIR/reorg_db_$TIMESTAMP.tar.gz \
         -C /var/lib/ailee reorg_db/

# Keep only last 24 reorg DB backups
ls -t $BACKUP_DIR/reorg_db_*.tar.gz | tail -n +25 | xargs rm -f
