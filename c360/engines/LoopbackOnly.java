import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ProtocolFamily;
import java.net.ServerSocket;
import java.net.SocketAddress;
import java.net.SocketOption;
import java.nio.channels.DatagramChannel;
import java.nio.channels.Pipe;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.channels.spi.AbstractSelector;
import java.nio.channels.spi.SelectorProvider;
import java.util.Set;

/**
 * Java's own channels, except that a server which would listen on every address listens on 127.0.0.1.
 *
 * <p>Named by {@code -Djava.nio.channels.spi.SelectorProvider} it keeps a program to this machine that has no option for
 * it. Such a server has to accept in a thread of its own: its channel cannot be registered with a selector.
 */
public final class LoopbackOnly extends SelectorProvider {
    private final SelectorProvider own = sun.nio.ch.DefaultSelectorProvider.get();

    @Override
    public ServerSocketChannel openServerSocketChannel() throws IOException {
        return new Server(this, own.openServerSocketChannel());
    }

    @Override
    public AbstractSelector openSelector() throws IOException {
        return own.openSelector();
    }

    @Override
    public SocketChannel openSocketChannel() throws IOException {
        return own.openSocketChannel();
    }

    @Override
    public DatagramChannel openDatagramChannel() throws IOException {
        return own.openDatagramChannel();
    }

    @Override
    public DatagramChannel openDatagramChannel(ProtocolFamily family) throws IOException {
        return own.openDatagramChannel(family);
    }

    @Override
    public Pipe openPipe() throws IOException {
        return own.openPipe();
    }

    private static final class Server extends ServerSocketChannel {
        private final ServerSocketChannel own;

        Server(SelectorProvider provider, ServerSocketChannel own) {
            super(provider);
            this.own = own;
        }

        @Override
        public ServerSocketChannel bind(SocketAddress wanted, int backlog) throws IOException {
            SocketAddress address = wanted;
            if (wanted == null) {
                address = new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0);
            } else if (wanted instanceof InetSocketAddress all && all.getAddress() != null
                    && all.getAddress().isAnyLocalAddress()) {
                address = new InetSocketAddress(InetAddress.getByName("127.0.0.1"), all.getPort());
            }
            own.bind(address, backlog);
            return this;
        }

        @Override
        public <T> ServerSocketChannel setOption(SocketOption<T> name, T value) throws IOException {
            own.setOption(name, value);
            return this;
        }

        @Override
        public <T> T getOption(SocketOption<T> name) throws IOException {
            return own.getOption(name);
        }

        @Override
        public Set<SocketOption<?>> supportedOptions() {
            return own.supportedOptions();
        }

        @Override
        public ServerSocket socket() {
            return own.socket();
        }

        @Override
        public SocketChannel accept() throws IOException {
            return own.accept();
        }

        @Override
        public SocketAddress getLocalAddress() throws IOException {
            return own.getLocalAddress();
        }

        @Override
        protected void implCloseSelectableChannel() throws IOException {
            own.close();
        }

        @Override
        protected void implConfigureBlocking(boolean block) throws IOException {
            own.configureBlocking(block);
        }
    }
}
