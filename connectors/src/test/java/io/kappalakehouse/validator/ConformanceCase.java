package io.kappalakehouse.validator;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;

/**
 * One hand-written verdict; the file's format is described in lakehouse/contracts/conformance.py.
 *
 * @param reason null when the record is valid
 * @param fields the payload by name when the record is valid, else null
 */
public record ConformanceCase(
    String why,
    String topic,
    byte[] key,
    byte[] value,
    long arrivalMs,
    String reason,
    String field,
    Map<?, ?> fields) {

  /** All cases, in the file's order. */
  public static List<ConformanceCase> all() throws IOException {
    List<String> lines = Files.readAllLines(Path.of(System.getProperty("conformance")), StandardCharsets.UTF_8);
    return lines.stream().map(ConformanceCase::parse).toList();
  }

  /** The payload in the contract's order, null when the record is invalid. */
  public List<Object> values() {
    if (fields == null) {
      return null;
    }
    List<Object> values = new ArrayList<>();
    Contracts.of(topic).fields().forEach(each -> values.add(fields.get(each.name())));
    return values;
  }

  private static ConformanceCase parse(String line) {
    Map<String, Object> record = StrictJson.parseObject(line, 64);
    String verdict = (String) record.get("verdict");
    return new ConformanceCase(
        (String) record.get("why"),
        (String) record.get("topic"),
        bytes(record.get("key")),
        bytes(record.get("value")),
        (Long) record.get("arrival"),
        verdict.equals("valid") ? null : verdict,
        (String) record.get("field"),
        (Map<?, ?>) record.get("fields"));
  }

  private static byte[] bytes(Object described) {
    if (described == null) {
      return null;
    }
    if (described instanceof String text) {
      return text.getBytes(StandardCharsets.UTF_8);
    }
    Map<?, ?> object = (Map<?, ?>) described;
    if (object.containsKey("base64")) {
      return Base64.getDecoder().decode((String) object.get("base64"));
    }
    StringBuilder whole = new StringBuilder();
    for (Object part : (List<?>) object.get("repeat")) {
      List<?> textAndTimes = (List<?>) part;
      whole.append(((String) textAndTimes.get(0)).repeat(((Long) textAndTimes.get(1)).intValue()));
    }
    return whole.toString().getBytes(StandardCharsets.UTF_8);
  }
}
