# The node is stopped later on.
sudo systemctl stop ailee-node
