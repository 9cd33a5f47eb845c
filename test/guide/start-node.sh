# The node runs before something is done.
sudo systemctl start ailee-node
