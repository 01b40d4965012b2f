package io.kappalakehouse.delta;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.temporal.ChronoUnit;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.hadoop.conf.Configuration;

/** The few requests of S3 that a Delta table's writer makes, with the faults that a real one shows only at times. */
public final class FaultyS3 implements AutoCloseable {
  /** What happens to a put. {@code LOST}: carried out, and never answered. */
  public enum Fault {
    NONE,
    LOST,
    INTERNAL_ERROR,
    SLOW_DOWN,
    REFUSED,
    DENIED
  }

  public record Stored(byte[] content, Map<String, String> metadata) {}

  public final Map<String, Stored> objects = new TreeMap<>();
  /** Puts that were carried out, by key. */
  final List<String> carriedOut = new ArrayList<>();

  private static final String BUCKET = "/lake";
  /** When all objects were. */
  private static final OffsetDateTime WRITTEN = OffsetDateTime.now(ZoneOffset.UTC).truncatedTo(ChronoUnit.SECONDS);

  private final Deque<Fault> faults = new ArrayDeque<>();
  private final HttpServer server;
  private final ExecutorService threads = Executors.newCachedThreadPool();
  private boolean silent;
  /** Until the next put, a look says that nothing is there. */
  boolean hidden;

  public FaultyS3() throws IOException {
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.createContext("/", this::answer);
    server.setExecutor(threads);
    server.start();
  }

  /** Of the next puts, in this order. */
  public synchronized void willShow(Fault... next) {
    faults.addAll(List.of(next));
  }

  public synchronized void forgetFaults() {
    faults.clear();
  }

  /** From the next lost answer on, nothing is answered any more. */
  public synchronized void thenFallsSilent() {
    silent = true;
  }

  public synchronized void answersAgain() {
    silent = false;
  }

  synchronized String text(String key) {
    return new String(objects.get(key).content(), StandardCharsets.UTF_8);
  }

  /** As a job configures S3A, with short pauses between its retries. */
  public Configuration configuration() {
    Configuration configuration = new Configuration();
    configuration.set("fs.s3a.endpoint", "http://127.0.0.1:" + server.getAddress().getPort());
    configuration.set("fs.s3a.endpoint.region", "us-east-1");
    configuration.set("fs.s3a.path.style.access", "true");
    configuration.set("fs.s3a.connection.ssl.enabled", "false");
    configuration.set("fs.s3a.access.key", "key");
    configuration.set("fs.s3a.secret.key", "secret");
    configuration.set("fs.s3a.aws.credentials.provider", "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider");
    configuration.set("fs.s3a.bucket.probe", "0");
    configuration.set("fs.s3a.fast.upload.buffer", "bytebuffer");
    configuration.set("fs.s3a.attempts.maximum", "1");
    configuration.set("fs.s3a.retry.limit", "3");
    configuration.set("fs.s3a.retry.interval", "1ms");
    configuration.set("fs.s3a.retry.throttle.limit", "3");
    configuration.set("fs.s3a.retry.throttle.interval", "1ms");
    // Each server has its own file system, and no other test's.
    configuration.setBoolean("fs.s3a.impl.disable.cache", true);
    return configuration;
  }

  @Override
  public void close() {
    server.stop(0);
    threads.shutdownNow();
  }

  private void answer(HttpExchange exchange) throws IOException {
    try (exchange) {
      byte[] content = content(exchange);
      int status = carryOut(exchange, content);
      if (status > 0) {
        byte[] body = exchange.getRequestMethod().equals("HEAD") ? new byte[0] : body(exchange, status);
        exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
        exchange.getResponseBody().write(body);
      }
    }
  }

  /** The status to answer with; 0: none. */
  private synchronized int carryOut(HttpExchange exchange, byte[] content) {
    String key = exchange.getRequestURI().getPath();
    switch (exchange.getRequestMethod()) {
      case "PUT" -> {
        hidden = false;
        Fault fault = faults.isEmpty() ? Fault.NONE : faults.poll();
        switch (fault) {
          case INTERNAL_ERROR -> {
            return 500;
          }
          case SLOW_DOWN -> {
            return 503;
          }
          case DENIED -> {
            return 403;
          }
          case REFUSED -> {
            return 412;
          }
          default -> {}
        }
        if ("*".equals(exchange.getRequestHeaders().getFirst("If-None-Match")) && objects.containsKey(key)) {
          return 412;
        }
        Map<String, String> metadata = new TreeMap<>();
        exchange
            .getRequestHeaders()
            .forEach((name, values) -> {
              if (name.toLowerCase().startsWith("x-amz-meta-")) {
                metadata.put(name, values.get(0));
              }
            });
        objects.put(key, new Stored(content, metadata));
        carriedOut.add(key);
        return fault == Fault.LOST ? 0 : 200;
      }
      case "HEAD" -> {
        if (silent && faults.isEmpty() && !carriedOut.isEmpty()) {
          return 0;
        }
        Stored stored = objects.get(key);
        if (stored == null || hidden) {
          return 404;
        }
        stored.metadata().forEach(exchange.getResponseHeaders()::set);
        exchange.getResponseHeaders().set("Content-Length", String.valueOf(stored.content().length));
        exchange.getResponseHeaders().set("ETag", "\"etag\"");
        exchange.getResponseHeaders().set("Last-Modified", DateTimeFormatter.RFC_1123_DATE_TIME.format(WRITTEN));
        return 200;
      }
      case "GET" -> {
        if (key.equals(BUCKET + "/") || key.equals(BUCKET)) {
          return 200;
        }
        if (!objects.containsKey(key)) {
          return 404;
        }
        return exchange.getRequestHeaders().containsKey("Range") ? 206 : 200;
      }
      default -> {
        return 200;
      }
    }
  }

  /** The objects and, up to a delimiter, prefixes that a listing asks for. */
  private synchronized String listing(String query) {
    Map<String, String> asked = new TreeMap<>();
    for (String parameter : query.split("&")) {
      String[] parts = parameter.split("=", 2);
      asked.put(parts[0], parts.length < 2 ? "" : URLDecoder.decode(parts[1], StandardCharsets.UTF_8));
    }
    String prefix = asked.getOrDefault("prefix", "");
    StringBuilder files = new StringBuilder();
    Set<String> directories = new TreeSet<>();
    int count = 0;
    for (Map.Entry<String, Stored> object : objects.entrySet()) {
      String name = object.getKey().substring(BUCKET.length() + 1);
      if (!name.startsWith(prefix) || name.compareTo(asked.getOrDefault("start-after", "")) <= 0) {
        continue;
      }
      int end = asked.containsKey("delimiter") ? name.indexOf('/', prefix.length()) : -1;
      if (end >= 0) {
        directories.add(name.substring(0, end + 1));
        continue;
      }
      count++;
      files.append(
          "<Contents><Key>%s</Key><Size>%d</Size><ETag>\"etag\"</ETag><LastModified>%s</LastModified></Contents>"
              .formatted(name, object.getValue().content().length, WRITTEN.toInstant()));
    }
    for (String directory : directories) {
      files.append("<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>".formatted(directory));
    }
    return "<ListBucketResult><KeyCount>%d</KeyCount><IsTruncated>false</IsTruncated>%s</ListBucketResult>"
        .formatted(count + directories.size(), files);
  }

  private synchronized byte[] stored(HttpExchange exchange) {
    byte[] content = objects.get(exchange.getRequestURI().getPath()).content();
    String range = exchange.getRequestHeaders().getFirst("Range");
    exchange.getResponseHeaders().set("ETag", "\"etag\"");
    exchange.getResponseHeaders().set("Last-Modified", DateTimeFormatter.RFC_1123_DATE_TIME.format(WRITTEN));
    if (range == null) {
      return content;
    }
    String[] bounds = range.substring("bytes=".length()).split("-");
    int first = Integer.parseInt(bounds[0]);
    int last = Math.min(bounds.length > 1 ? Integer.parseInt(bounds[1]) : content.length, content.length - 1);
    exchange.getResponseHeaders().set("Content-Range", "bytes %d-%d/%d".formatted(first, last, content.length));
    return Arrays.copyOfRange(content, first, last + 1);
  }

  private byte[] body(HttpExchange exchange, int status) {
    boolean get = exchange.getRequestMethod().equals("GET");
    boolean list = get && exchange.getRequestURI().getRawQuery() != null;
    if (get && !list && status < 300) {
      return stored(exchange);
    }
    String text =
        switch (status) {
          case 200 -> list ? listing(exchange.getRequestURI().getRawQuery()) : "";
          case 404 -> "<Error><Code>NoSuchKey</Code></Error>";
          case 403 -> "<Error><Code>AccessDenied</Code></Error>";
          case 412 -> "<Error><Code>PreconditionFailed</Code></Error>";
          case 500 -> "<Error><Code>InternalError</Code></Error>";
          case 503 -> "<Error><Code>SlowDown</Code></Error>";
          default -> "";
        };
    if (status == 200 && exchange.getRequestMethod().equals("PUT")) {
      exchange.getResponseHeaders().set("ETag", "\"etag\"");
    }
    return text.getBytes(StandardCharsets.UTF_8);
  }

  /** The request's content, out of the signed chunks in which the SDK sends it. */
  private static byte[] content(HttpExchange exchange) throws IOException {
    try (InputStream body = exchange.getRequestBody()) {
      byte[] sent = body.readAllBytes();
      String length = exchange.getRequestHeaders().getFirst("x-amz-decoded-content-length");
      if (length == null) {
        return sent;
      }
      int begin = 0;
      while (sent[begin] != '\n') {
        begin++;
      }
      return Arrays.copyOfRange(sent, begin + 1, begin + 1 + Integer.parseInt(length));
    }
  }
}
