package io.kappalakehouse.validator;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** Holds the validator to the hand-written verdicts; their format is described in lakehouse/contracts/conformance.py. */
class ConformanceTest {

  @TestFactory
  Stream<DynamicTest> verdictIsTheOneWrittenByHand() throws IOException {
    List<String> lines = Files.readAllLines(Path.of(System.getProperty("conformance")), StandardCharsets.UTF_8);
    return lines.stream()
        .map(line -> StrictJson.parseObject(line, 64))
        .map(record -> DynamicTest.dynamicTest((String) record.get("why"), () -> verify(record)));
  }

  private static void verify(Map<String, Object> record) {
    Contract contract = Contracts.of((String) record.get("topic"));
    Verdict verdict =
        new Validator(contract)
            .validate(bytes(record.get("key")), bytes(record.get("value")), (Long) record.get("arrival"));
    if (record.get("verdict").equals("valid")) {
      Map<?, ?> fields = (Map<?, ?>) record.get("fields");
      List<Object> expected = new ArrayList<>();
      contract.fields().forEach(field -> expected.add(fields.get(field.name())));
      assertEquals(new Verdict(null, null, expected), verdict);
    } else {
      assertEquals(record.get("verdict"), verdict.isValid() ? "valid" : verdict.reason().wire());
      assertEquals(record.get("field"), verdict.field());
    }
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
